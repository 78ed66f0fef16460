//! Rules for crates: their dependencies on each other and on external packages.

use std::collections::{HashMap, HashSet, VecDeque};

use serde::Deserialize;

use super::licences;

/// Which crates of the workspace each may depend on, outside its tests. The arrows of
/// `docs/architecture.md`, in reading order.
const ARROWS: &[(&str, &[&str])] = &[
    ("files", &[]),
    ("conv-core", &[]),
    ("nn-layers", &["conv-core", "files"]),
    ("engine", &["conv-core", "files", "nn-layers"]),
    ("resnet", &["nn-layers"]),
    ("inception", &["nn-layers"]),
    ("mobilenet", &["nn-layers"]),
    ("image-data", &["files"]),
    (
        "transfer",
        &["files", "nn-layers", "engine", "image-data", "conv-core"],
    ),
    (
        "image-classify",
        &[
            "nn-layers",
            "engine",
            "files",
            "image-data",
            "inception",
            "mobilenet",
            "resnet",
        ],
    ),
    (
        "yolo-detect",
        &["nn-layers", "engine", "files", "image-data"],
    ),
    ("model-zoo", &["files"]),
    (
        "convoxide",
        &[
            "files",
            "nn-layers",
            "engine",
            "image-classify",
            "image-data",
            "inception",
            "mobilenet",
            "model-zoo",
            "resnet",
            "transfer",
            "yolo-detect",
        ],
    ),
    ("testkit", &["conv-core", "nn-layers"]),
    (
        "tutorial",
        &[
            "conv-core",
            "nn-layers",
            "engine",
            "image-classify",
            "image-data",
            "inception",
            "mobilenet",
            "resnet",
            "transfer",
            "yolo-detect",
        ],
    ),
    ("xtask", &["files", "image-data", "model-zoo"]),
];

/// The one crate that may have `unsafe`.
const WITH_UNSAFE: &str = "conv-core";

/// Build tools whose presence means that something other than Rust is compiled or linked.
const NATIVE_BUILD_TOOLS: [&str; 6] =
    ["autotools", "bindgen", "cc", "cmake", "pkg-config", "vcpkg"];

/// Crates whose `links` key does not name a library but only ensures that there is a single copy.
const LINKS_NOTHING: [&str; 2] = ["rayon-core", "wasm-bindgen-shared"];

/// The parts of `cargo metadata` that are used here.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    links: Option<String>,
    license: Option<String>,
    dependencies: Vec<Dependency>,
    targets: Vec<Target>,
}

/// A dependency as declared in the manifest.
#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// `dev`, `build`, or none for a normal one.
    kind: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Target {
    kind: Vec<String>,
    src_path: String,
}

/// The dependency tree with the enabled features.
#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Debug, Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<EdgeKind>,
}

#[derive(Debug, Deserialize)]
struct EdgeKind {
    kind: Option<String>,
}

impl Metadata {
    fn package(&self, id: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.id == id)
    }

    /// The workspace's own crates.
    fn crates(&self) -> impl Iterator<Item = &Package> {
        self.workspace_members
            .iter()
            .filter_map(|id| self.package(id))
    }

    /// Their names.
    pub(super) fn members(&self) -> impl Iterator<Item = &str> {
        self.crates().map(|package| package.name.as_str())
    }
}

/// All problems of the workspace's crates. `read` returns the text of a source file.
pub(super) fn check(metadata: &Metadata, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut problems = wrong_arrows(metadata);
    problems.extend(lacks_forbid(metadata, read));
    problems.extend(native_dependencies(metadata));
    problems.extend(metadata.packages.iter().filter_map(licence_not_permitted));
    problems
}

/// A package of the lock file whose licence is not on the list.
fn licence_not_permitted(package: &Package) -> Option<String> {
    let name = &package.name;
    match &package.license {
        None => Some(format!("{name}: states no licence")),
        Some(licence) if licences::is_permitted(name, licence) => None,
        Some(licence) => Some(format!(
            "{name}: its licence, {licence}, is not in tidy's list (PERMITTED)"
        )),
    }
}

/// Dependencies between crates of the workspace that `ARROWS` does not permit.
fn wrong_arrows(metadata: &Metadata) -> Vec<String> {
    let members: HashSet<&str> = metadata.members().collect();
    let mut problems = Vec::new();
    for package in metadata.crates() {
        let name = &package.name;
        let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| from == name) else {
            problems.push(format!(
                "{name}: is new; add its permitted dependencies to tidy's ARROWS"
            ));
            continue;
        };
        for dependency in &package.dependencies {
            let to = dependency.name.as_str();
            let counts = dependency.kind.as_deref() != Some("dev") && members.contains(to);
            if counts && !allowed.contains(&to) {
                problems.push(format!(
                    "{name}: must not depend on {to} (docs/architecture.md)"
                ));
            }
        }
    }
    problems
}

/// Libraries and programs that do not forbid `unsafe`.
fn lacks_forbid(metadata: &Metadata, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut problems = Vec::new();
    for package in metadata
        .crates()
        .filter(|package| package.name != WITH_UNSAFE)
    {
        for target in &package.targets {
            let is_root = target
                .kind
                .iter()
                .any(|kind| kind == "lib" || kind == "bin");
            let forbids = |text: String| text.lines().any(|line| line == "#![forbid(unsafe_code)]");
            if is_root && !read(&target.src_path).is_some_and(forbids) {
                let kind = target.kind.join(", ");
                problems.push(format!(
                    "{}: its {kind} lacks #![forbid(unsafe_code)]",
                    package.name
                ));
            }
        }
    }
    problems
}

/// Dependencies that need a C compiler or a system library to build with default features, each with the
/// path to it. Tests and benchmarks do not count, because users of a crate do not build them.
fn native_dependencies(metadata: &Metadata) -> Vec<String> {
    let nodes: HashMap<&str, &Node> = metadata
        .resolve
        .nodes
        .iter()
        .map(|node| (node.id.as_str(), node))
        .collect();
    // Breadth first, so that the path found is a shortest one.
    let mut ways: HashMap<&str, String> = HashMap::new();
    let mut queue = VecDeque::new();
    for package in metadata.crates() {
        ways.insert(&package.id, package.name.clone());
        queue.push_back(package.id.as_str());
    }
    let mut problems = Vec::new();
    while let Some(id) = queue.pop_front() {
        let way = ways.get(id).cloned().unwrap_or_default();
        if let Some(package) = metadata.package(id) {
            problems.extend(is_native(package).map(|why| format!("{way}: {why}")));
        }
        for edge in nodes
            .get(id)
            .map(|node| node.deps.as_slice())
            .unwrap_or_default()
        {
            let built = edge
                .dep_kinds
                .iter()
                .any(|kind| kind.kind.as_deref() != Some("dev"));
            if built && !ways.contains_key(edge.pkg.as_str()) {
                let name = metadata
                    .package(&edge.pkg)
                    .map_or("?", |package| package.name.as_str());
                ways.insert(&edge.pkg, format!("{way} > {name}"));
                queue.push_back(&edge.pkg);
            }
        }
    }
    problems
}

/// Why a package is not pure Rust, if it is not.
fn is_native(package: &Package) -> Option<String> {
    if NATIVE_BUILD_TOOLS.contains(&package.name.as_str()) {
        return Some("a build in pure Rust must not need it".to_owned());
    }
    let links = package.links.as_ref()?;
    (!LINKS_NOTHING.contains(&package.name.as_str()))
        .then(|| format!("links the library {links}; a build in pure Rust must not need it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Metadata in which every name is its own id; an edge is (from, to, kind).
    fn metadata(members: &[&str], edges: &[(&str, &str, Option<&str>)]) -> Metadata {
        let mut names: Vec<&str> = members.to_vec();
        for (from, to, _) in edges {
            for name in [from, to] {
                if !names.contains(name) {
                    names.push(name);
                }
            }
        }
        let kind = |kind: &Option<&str>| kind.map(str::to_owned);
        let of = |name: &str| {
            edges
                .iter()
                .filter(move |(from, ..)| *from == name)
                .copied()
                .collect::<Vec<_>>()
        };
        Metadata {
            packages: names
                .iter()
                .map(|name| Package {
                    id: (*name).to_owned(),
                    name: (*name).to_owned(),
                    links: name.strip_suffix("-sys").map(str::to_owned),
                    license: Some("MIT".to_owned()),
                    dependencies: of(name)
                        .iter()
                        .map(|(_, to, k)| Dependency {
                            name: (*to).to_owned(),
                            kind: kind(k),
                        })
                        .collect(),
                    targets: vec![Target {
                        kind: vec!["lib".to_owned()],
                        src_path: format!("{name}/lib.rs"),
                    }],
                })
                .collect(),
            workspace_members: members.iter().map(|name| (*name).to_owned()).collect(),
            resolve: Resolve {
                nodes: names
                    .iter()
                    .map(|name| Node {
                        id: (*name).to_owned(),
                        deps: of(name)
                            .iter()
                            .map(|(_, to, k)| Edge {
                                pkg: (*to).to_owned(),
                                dep_kinds: vec![EdgeKind { kind: kind(k) }],
                            })
                            .collect(),
                    })
                    .collect(),
            },
        }
    }

    #[test]
    fn dependencies_follow_the_arrows() {
        let members = ["conv-core", "nn-layers", "testkit"];
        let good = metadata(
            &members,
            &[
                ("nn-layers", "conv-core", None),
                ("conv-core", "testkit", Some("dev")),
            ],
        );
        assert_eq!(wrong_arrows(&good), Vec::<String>::new());
        for kind in [None, Some("build")] {
            let bad = metadata(&members, &[("conv-core", "nn-layers", kind)]);
            assert_eq!(
                wrong_arrows(&bad),
                ["conv-core: must not depend on nn-layers (docs/architecture.md)"]
            );
        }
        let bad = metadata(&members, &[("nn-layers", "testkit", None)]);
        assert_eq!(wrong_arrows(&bad).len(), 1);
    }

    #[test]
    fn nobody_depends_on_the_program_and_arrows_never_turn_back() {
        for (at, (name, allowed)) in ARROWS.iter().enumerate() {
            assert!(!allowed.contains(&"convoxide"), "{name}");
            for to in *allowed {
                assert!(
                    ARROWS[..at].iter().any(|(earlier, _)| earlier == to),
                    "{name} > {to}"
                );
            }
        }
    }

    #[test]
    fn a_new_crate_needs_arrows() {
        let problems = wrong_arrows(&metadata(&["newcomer"], &[]));
        assert_eq!(
            problems,
            ["newcomer: is new; add its permitted dependencies to tidy's ARROWS"]
        );
    }

    #[test]
    fn every_crate_but_one_forbids_unsafe() {
        let metadata = metadata(&["conv-core", "engine"], &[]);
        let reads = |text: &'static str| move |_: &str| Some(text.to_owned());
        let forbids = reads("//! Text.\n\n#![forbid(unsafe_code)]\n");
        assert_eq!(lacks_forbid(&metadata, forbids), Vec::<String>::new());
        for text in [
            "//! Text.\n",
            "// #![forbid(unsafe_code)]\n",
            "#![deny(unsafe_code)]\n",
        ] {
            let problems = lacks_forbid(&metadata, reads(text));
            assert_eq!(
                problems,
                ["engine: its lib lacks #![forbid(unsafe_code)]"],
                "{text}"
            );
        }
    }

    #[test]
    fn native_code_is_found_and_the_way_to_it_told() {
        let edges = [
            ("engine", "zip", None),
            ("zip", "z-sys", None),
            ("zip", "cc", Some("build")),
            ("zip", "rayon-core", None),
            ("engine", "cmake", Some("dev")),
        ];
        let mut problems = native_dependencies(&metadata(&["engine"], &edges));
        problems.sort();
        assert_eq!(
            problems,
            [
                "engine > zip > cc: a build in pure Rust must not need it",
                "engine > zip > z-sys: links the library z; a build in pure Rust must not need it",
            ]
        );
    }

    #[test]
    fn a_package_without_a_permitted_licence_is_named() {
        let mut metadata = metadata(&["engine"], &[("engine", "other", None)]);
        let problems = |metadata: &Metadata| -> Vec<String> {
            let packages = metadata.packages.iter();
            packages.filter_map(licence_not_permitted).collect()
        };
        assert_eq!(problems(&metadata), Vec::<String>::new());
        metadata.packages[1].license = Some("GPL-3.0-only".to_owned());
        assert_eq!(
            problems(&metadata),
            ["other: its licence, GPL-3.0-only, is not in tidy's list (PERMITTED)"]
        );
        metadata.packages[1].license = None;
        assert_eq!(problems(&metadata), ["other: states no licence"]);
    }

    #[test]
    fn a_links_key_that_links_nothing_is_no_library() {
        let mut metadata = metadata(&["engine"], &[("engine", "rayon-core", None)]);
        for package in &mut metadata.packages {
            package.links = (package.name == "rayon-core").then(|| "rayon-core".to_owned());
        }
        assert_eq!(native_dependencies(&metadata), Vec::<String>::new());
    }
}
