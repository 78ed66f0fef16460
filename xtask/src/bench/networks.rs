//! The networks that are compared.

use crate::Result;

/// A network that `benchmarks/peers/networks.py` and our own worker know by name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) name: &'static str,
    /// As the tables call it.
    pub(crate) title: &'static str,
    /// Height and width of the input.
    pub(crate) size: usize,
    /// The description of a darknet network, from the workspace's folder.
    pub(crate) cfg: Option<&'static str>,
}

const fn torchvision(name: &'static str, title: &'static str, size: usize) -> Network {
    Network {
        name,
        title,
        size,
        cfg: None,
    }
}

/// All networks, in the order of the tables.
pub(crate) const NETWORKS: [Network; 7] = [
    torchvision("resnet18", "ResNet-18", 224),
    torchvision("resnet50", "ResNet-50", 224),
    torchvision("googlenet", "GoogLeNet", 224),
    torchvision("inception_v3", "Inception-v3", 299),
    torchvision("mobilenet_v2", "MobileNetV2", 224),
    Network {
        name: "yolov2",
        title: "YOLOv2",
        size: 608,
        cfg: Some("crates/yolo-detect/tests/cfg/yolov2.cfg"),
    },
    Network {
        name: "tiny-yolov2",
        title: "Tiny YOLOv2",
        size: 416,
        cfg: Some("benchmarks/networks/tiny-yolov2-voc.cfg"),
    },
];

impl Network {
    /// The networks with these names; all if there are none.
    ///
    /// # Errors
    /// A name that is not known.
    pub(crate) fn named(names: &[String]) -> Result<Vec<&'static Self>> {
        if names.is_empty() {
            return Ok(NETWORKS.iter().collect());
        }
        let find = |name: &String| {
            let found = NETWORKS.iter().find(|network| network.name == name);
            found.ok_or_else(|| {
                super::unknown(
                    "network",
                    name,
                    &NETWORKS.each_ref().map(|known| known.name),
                )
            })
        };
        names.iter().map(find).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::workspace_root;

    #[test]
    fn networks_are_found_by_name() {
        let names = ["yolov2".to_owned(), "resnet18".to_owned()];
        let found = Network::named(&names).unwrap();
        assert_eq!(found, [&NETWORKS[5], &NETWORKS[0]]);
        assert_eq!(Network::named(&[]).unwrap().len(), NETWORKS.len());
        let error = Network::named(&["resnet19".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("there are: resnet18, resnet50"));
    }

    #[test]
    fn the_cfg_files_exist_and_have_the_size() {
        for network in &NETWORKS {
            let Some(cfg) = network.cfg else { continue };
            let text = std::fs::read_to_string(workspace_root().join(cfg)).unwrap();
            for side in ["width", "height"] {
                let line = format!("{side}={}", network.size);
                assert!(text.lines().any(|found| found == line), "{cfg}: {line}");
            }
        }
    }
}
