"""The pytest suite that judges an artifact against its uncompiled model. Ships with the package; run it on any artifact:

    pytest --pyargs modelkiln.checks --artifact artifacts/compiled --source artifacts/source

With `--reports FOLDER` it writes verdict.json, metrics.json and predictions.json there, as the validate stage has it do.
"""
