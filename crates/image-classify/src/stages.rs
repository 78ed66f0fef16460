//! The stages of a network, from the input to the head: what is frozen and unfrozen together.

use crate::architecture::Architecture;
use crate::error::Result;

impl Architecture {
    /// The stages from the bottom to the head: each is a list of nodes or scopes, as
    /// [`TrainSpec::frozen`](nn_layers::TrainSpec::frozen) and
    /// [`Select::Prefix`](nn_layers::Select::Prefix) take them. The first is the stem, the last the
    /// head, which depends on the classes; auxiliary heads belong to it. Each parameter of the
    /// [training graph](Self::training_graph) is in exactly one.
    ///
    /// ```
    /// use image_classify::Architecture;
    ///
    /// let stages = Architecture::named("resnet18")?.stages()?;
    /// let first = stages.first().unwrap();
    /// assert_eq!(first, &["conv1", "bn1"]);
    /// assert_eq!(stages[1..].concat(), ["layer1", "layer2", "layer3", "layer4", "fc"]);
    /// # Ok::<(), image_classify::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`graph`](Self::graph).
    pub fn stages(&self) -> Result<Vec<Vec<String>>> {
        let [_, height, width] = self.input();
        let graph = self.training_graph([height, width])?;
        let mut stages: Vec<(Part, Vec<String>)> = Vec::new();
        let mut head = Vec::new();
        for node in graph.nodes() {
            if node.params().is_empty() {
                continue;
            }
            let scope = self.scope(node.name());
            let names = match (self.part(scope), stages.last_mut()) {
                (Part::Head, _) => &mut head,
                (Part::Above, Some((_, names))) => names,
                (part, Some((last, names))) if *last == part => names,
                (part, _) => {
                    stages.push((part, Vec::new()));
                    match stages.last_mut() {
                        Some((_, names)) => names,
                        None => &mut head,
                    }
                }
            };
            if !names.iter().any(|name| name == scope) {
                names.push(scope.to_owned());
            }
        }
        let stages = stages.into_iter().map(|(_, names)| names);
        Ok(stages.chain([head]).collect())
    }

    /// The scope that a node belongs to: a block of `MobileNetV2`, otherwise the outermost one.
    fn scope<'a>(&self, node: &'a str) -> &'a str {
        let dots = match self {
            Self::MobileNetV2(_) if node.starts_with("features.") => 1,
            Self::ResNet(_)
            | Self::GoogLeNet(_)
            | Self::InceptionV3(_)
            | Self::CifarInception(_)
            | Self::MobileNetV2(_)
            | Self::Darknet(_) => 0,
        };
        let end = node.match_indices('.').nth(dots).map(|(end, _)| end);
        end.and_then(|end| node.get(..end)).unwrap_or(node)
    }

    /// The part of the network that a scope with parameters belongs to.
    fn part(&self, scope: &str) -> Part {
        let numbered = |prefix: &str| {
            let digits = scope.strip_prefix(prefix)?;
            let digits = digits.trim_end_matches(|c: char| c.is_ascii_lowercase());
            digits.parse().ok().map(Part::Stage)
        };
        match (self, scope) {
            (Self::MobileNetV2(network), _) => {
                let Some(block) = scope.strip_prefix("features.") else {
                    return Part::Head;
                };
                let block: usize = block.parse().unwrap_or(0);
                let mut end = 1;
                let mut stages = (1..).zip(&network.stages);
                match block {
                    0 => Part::Stem,
                    _ => stages
                        .find(|(_, stage)| {
                            end += stage.blocks;
                            block < end
                        })
                        // The last convolution, 1x1, follows the blocks.
                        .map_or(Part::Stage(0), |(number, _)| Part::Stage(number)),
                }
            }
            (Self::ResNet(_), "final_bn") => Part::Above,
            (_, "fc" | "aux1" | "aux2" | "AuxLogits") => Part::Head,
            (Self::ResNet(_), _) => numbered("layer").unwrap_or(Part::Stem),
            (Self::GoogLeNet(_) | Self::CifarInception(_), _) => {
                numbered("inception").unwrap_or(Part::Stem)
            }
            (Self::Darknet(backbone), _) => {
                let layer = scope.parse().unwrap_or(0);
                Part::Stage(backbone.network.pools_below(layer))
            }
            (Self::InceptionV3(_), _) => numbered("Mixed_").unwrap_or(Part::Stem),
        }
    }
}

/// A part of a network.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Stem,
    Stage(usize),
    /// The same as the scope before it.
    Above,
    Head,
}

#[cfg(test)]
mod tests {
    use nn_layers::{TrainSpec, random_params};

    use super::*;

    fn is_within(param: &str, scope: &str) -> bool {
        param
            .strip_prefix(scope)
            .is_some_and(|rest| rest.starts_with('.'))
    }

    #[test]
    fn every_parameter_is_in_exactly_one_stage() {
        let mut pre_activation = Architecture::named("resnet20").unwrap();
        if let Architecture::ResNet(network) = &mut pre_activation {
            network.pre_activation = true;
        }
        let named = Architecture::names().map(|name| Architecture::named(name).unwrap());
        for network in named.chain([pre_activation]) {
            let stages = network.stages().unwrap();
            let [_, height, width] = network.input();
            let graph = network.training_graph([height, width]).unwrap();
            assert!(stages.len() >= 4, "{network:?}");
            for spec in graph.param_specs() {
                let count = stages
                    .iter()
                    .flatten()
                    .filter(|scope| is_within(spec.name(), scope))
                    .count();
                assert_eq!(count, 1, "{} of {network:?}", spec.name());
            }
            // Each is a name that can be frozen.
            let spec = TrainSpec {
                frozen: stages.concat(),
                ..TrainSpec::default()
            };
            let flow = spec.resolve(&graph).unwrap();
            assert_eq!(flow.learnt(&graph).count(), 0);
        }
    }

    #[test]
    fn only_the_head_depends_on_the_classes() {
        for name in ["resnet20", "googlenet", "inception_v3", "mobilenet_v2"] {
            let of = |classes| {
                let network = Architecture::named(name).unwrap().with_classes(classes);
                let [_, height, width] = network.input();
                let graph = network.training_graph([height, width]).unwrap();
                (random_params(&graph, 1).unwrap(), network.stages().unwrap())
            };
            let ((one, stages), (other, _)) = (of(7), of(8));
            let head = stages.last().unwrap();
            for (name, param) in one.iter() {
                let same = other.get(name).unwrap().value.shape() == param.value.shape();
                let in_head = head.iter().any(|scope| is_within(name, scope));
                assert!(same || in_head, "{name}");
            }
        }
    }

    #[test]
    fn stages_follow_the_network_from_the_input() {
        let stages = Architecture::named("mobilenet_v2").unwrap().stages();
        let stages = stages.unwrap();
        assert_eq!(stages.len(), 10);
        assert_eq!(stages[2], ["features.2", "features.3"]);
        assert_eq!(stages[8..].concat(), ["features.18", "classifier"]);
        let stages = Architecture::named("googlenet").unwrap().stages().unwrap();
        assert_eq!(stages[0], ["conv1", "conv2", "conv3"]);
        let mut head = stages[4].clone();
        head.sort();
        assert_eq!(head, ["aux1", "aux2", "fc"]);
        let stages = Architecture::named("darknet19_backbone").unwrap().stages();
        let stages = stages.unwrap();
        assert_eq!(stages[2..4], [vec!["4", "5", "6"], vec!["8", "9", "10"]]);
        assert_eq!(stages.last().unwrap(), &["fc"]);
    }
}
