"""A simulator of AWS Neuron's two packages, for machines that have neither them nor a device.

It stands in for `torch_neuron` and `torch_neuronx` where an option says `simulated: true`. It computes on the CPU, in
fp32, and holds its caller to what the vendor's documentation says of arguments, shapes, types and devices; each rule
names its page. It proves nothing of operators, numerics, speed or memory: what is made with it says so in its manifest.
"""
