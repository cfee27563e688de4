"""The pytest suite that judges an artifact against its uncompiled model. Ships with the package; run it on any:

    pytest --pyargs modelkiln.checks --artifact artifacts/compiled --source artifacts/source

With `--reports FOLDER` it writes verdict.json, predictions.json and evidence/, as the validate stage has it do.
"""
