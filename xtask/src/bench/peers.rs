//! The peers, and the programs that run them and us.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::workspace_root;
use crate::programs::built;
use crate::{Result, python};

/// A library that Convoxide is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Ncnn,
    OpenVino,
    OnnxRuntime,
    Mnn,
    OpenCv,
    PyTorch,
    Rten,
    Tract,
}

/// All peers, in the order of the tables.
const ALL: [Peer; 8] = [
    Peer::Ncnn,
    Peer::OpenVino,
    Peer::OnnxRuntime,
    Peer::Mnn,
    Peer::OpenCv,
    Peer::PyTorch,
    Peer::Rten,
    Peer::Tract,
];

/// Those that are compared layer by layer: the fastest ones.
const OF_LAYERS: [Peer; 3] = [Peer::Ncnn, Peer::OpenVino, Peer::OnnxRuntime];

impl Peer {
    /// The name on the command line, and that of the worker.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ncnn => "ncnn",
            Self::OpenVino => "openvino",
            Self::OnnxRuntime => "onnx_runtime",
            Self::Mnn => "mnn",
            Self::OpenCv => "opencv",
            Self::PyTorch => "pytorch",
            Self::Rten => "rten",
            Self::Tract => "tract",
        }
    }

    /// The peers with these names; without names, all, or those that are compared layer by layer.
    ///
    /// # Errors
    /// A name that is not known.
    pub(crate) fn named(names: &[String], layers: bool) -> Result<Vec<Self>> {
        if names.is_empty() {
            return Ok(if layers {
                OF_LAYERS.to_vec()
            } else {
                ALL.to_vec()
            });
        }
        let find = |name: &String| {
            let found = ALL.into_iter().find(|peer| peer.name() == name);
            found.ok_or_else(|| super::unknown("peer", name, &ALL.map(Self::name)))
        };
        names.iter().map(find).collect()
    }

    /// The form of the network that the peer reads, as `benchmarks/peers/export.py` calls it; `None` for
    /// weights alone, which are always written.
    pub(crate) fn form(self) -> Option<&'static str> {
        match self {
            Self::Ncnn => Some("ncnn"),
            Self::OpenVino => Some("openvino"),
            Self::Mnn => Some("mnn"),
            Self::OnnxRuntime | Self::OpenCv | Self::Rten | Self::Tract => Some("onnx"),
            Self::PyTorch => None,
        }
    }

    /// The folder in `benchmarks` of a worker in Rust.
    fn package(self) -> Option<&'static str> {
        match self {
            Self::Rten | Self::Tract => Some(self.name()),
            Self::Ncnn
            | Self::OpenVino
            | Self::OnnxRuntime
            | Self::Mnn
            | Self::OpenCv
            | Self::PyTorch => None,
        }
    }
}

/// The programs of all sides, built and installed.
#[derive(Debug)]
pub(crate) struct Programs {
    ours: PathBuf,
    python: PathBuf,
    /// Of the peers in Rust.
    workers: Vec<(Peer, PathBuf)>,
}

impl Programs {
    /// Our own worker.
    ///
    /// # Errors
    /// Those of cargo.
    pub(crate) fn ours() -> Result<PathBuf> {
        build(&workspace_root(), "convoxide")
    }

    /// Builds the workers, and installs the Python packages if they are missing.
    ///
    /// # Errors
    /// Those of cargo and pip.
    pub(crate) fn build(root: &Path, peers: &[Peer]) -> Result<Self> {
        let mut workers = Vec::new();
        for &peer in peers {
            if let Some(package) = peer.package() {
                workers.push((peer, build(root, package)?));
            }
        }
        let requirements = root.join("benchmarks").join("requirements-peers.txt");
        Ok(Self {
            ours: build(root, "convoxide")?,
            python: python::environment("python-peers", &requirements)?,
            workers,
        })
    }

    /// The command that starts the worker of a peer, or ours.
    pub(crate) fn worker(&self, peer: Option<Peer>) -> Command {
        let Some(peer) = peer else {
            return Command::new(&self.ours);
        };
        match self.workers.iter().find(|(of, _)| *of == peer) {
            Some((_, program)) => Command::new(program),
            None => self.module(&format!("peers.{}", peer.name())),
        }
    }

    /// The command that runs a Python module of `benchmarks`.
    pub(crate) fn module(&self, name: &str) -> Command {
        let mut command = Command::new(&self.python);
        command
            .args(["-m", name])
            .current_dir(workspace_root().join("benchmarks"));
        command
    }
}

/// Builds a package of `benchmarks`.
fn build(root: &Path, package: &str) -> Result<PathBuf> {
    let manifest = root.join("benchmarks").join(package).join("Cargo.toml");
    let target = root.join("target").join("peers");
    let [manifest, target] = [manifest, target].map(|path| path.display().to_string());
    eprintln!("building benchmarks/{package}");
    built(&[
        "--locked",
        "--manifest-path",
        &manifest,
        "--target-dir",
        &target,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_found_by_name() {
        let found = Peer::named(&["mnn".to_owned(), "ncnn".to_owned()], false).unwrap();
        assert_eq!(found, [Peer::Mnn, Peer::Ncnn]);
        assert_eq!(Peer::named(&[], false).unwrap(), ALL);
        assert_eq!(Peer::named(&[], true).unwrap(), OF_LAYERS);
        let error = Peer::named(&["caffe".to_owned()], false).unwrap_err();
        assert!(error.to_string().starts_with("no peer is called \"caffe\""));
    }

    #[test]
    fn every_peer_has_a_worker() {
        let benchmarks = workspace_root().join("benchmarks");
        for peer in ALL {
            let worker = match peer.package() {
                Some(package) => benchmarks.join(package).join("src/main.rs"),
                None => benchmarks.join("peers").join(format!("{}.py", peer.name())),
            };
            assert!(worker.is_file(), "{}", worker.display());
        }
    }
}
