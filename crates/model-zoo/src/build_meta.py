"""Stands in for setuptools.build_meta while pip downloads a source package.

pip asks for the package's metadata (PEP 517) before it saves the archive. It needs only the name and
the version, which this module returns, so the package's own setup.py is not run.
"""

import os


class StandIn:
    def get_requires_for_build_wheel(self, config_settings=None):
        return []

    def prepare_metadata_for_build_wheel(self, metadata_directory, config_settings=None):
        name, version = os.environ["STAND_IN_NAME"], os.environ["STAND_IN_VERSION"]
        folder = f"{name}-{version}.dist-info"
        os.mkdir(os.path.join(metadata_directory, folder))
        with open(os.path.join(metadata_directory, folder, "METADATA"), "w") as metadata:
            metadata.write(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        return folder


# A package without pyproject.toml asks for `setuptools.build_meta:__legacy__`.
__legacy__ = StandIn()
