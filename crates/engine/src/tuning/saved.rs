//! How a tuning is written: its version, and the names of the algorithms.

use serde::{Deserialize, Serialize};

/// The version of the format.
const VERSION: u32 = 1;

/// The version of the format, which is checked when a tuning is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub(crate) struct Version;

impl From<Version> for u32 {
    fn from(_: Version) -> Self {
        VERSION
    }
}

impl TryFrom<u32> for Version {
    type Error = String;

    fn try_from(version: u32) -> Result<Self, String> {
        match version {
            VERSION => Ok(Self),
            other => Err(format!("version {other} of a tuning, expected {VERSION}")),
        }
    }
}

/// An algorithm by its name.
pub(crate) mod algorithm {
    use conv_core::blocked::{Algorithm, Winograd};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Name {
        Direct,
        #[serde(rename = "winograd-f2x3")]
        WinogradF2x3,
        #[serde(rename = "winograd-f4x3")]
        WinogradF4x3,
        #[serde(rename = "winograd-f2x5")]
        WinogradF2x5,
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde calls it with a reference"
    )]
    pub(crate) fn serialize<S: Serializer>(
        algorithm: &Algorithm,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let name = match algorithm {
            Algorithm::Direct => Name::Direct,
            Algorithm::Winograd(Winograd::F2x3) => Name::WinogradF2x3,
            Algorithm::Winograd(Winograd::F4x3) => Name::WinogradF4x3,
            Algorithm::Winograd(Winograd::F2x5) => Name::WinogradF2x5,
        };
        name.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Algorithm, D::Error> {
        Ok(match Name::deserialize(deserializer)? {
            Name::Direct => Algorithm::Direct,
            Name::WinogradF2x3 => Algorithm::Winograd(Winograd::F2x3),
            Name::WinogradF4x3 => Algorithm::Winograd(Winograd::F4x3),
            Name::WinogradF2x5 => Algorithm::Winograd(Winograd::F2x5),
        })
    }
}
