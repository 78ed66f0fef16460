//! The examples at the end of each command's help. A test parses them as command lines.

pub(crate) const PROGRAM: &str = "\
Examples:
  convoxide demo
  convoxide fetch mobilenet_v2
  convoxide classify photo.jpg
  convoxide train recipe.toml --data pictures
  convoxide help train";

pub(crate) const DEMO: &str = "\
Examples:
  convoxide demo";

pub(crate) const DETECT: &str = "\
Examples:
  convoxide detect photo.jpg
  convoxide detect --model yolov3.cfg --weights yolov3.weights \\
      --names coco.names photo.jpg
  convoxide detect --model detector.safetensors photo.jpg
  find photos -name '*.jpg' | convoxide detect --model m.cfg \\
      --weights m.weights --json -";

pub(crate) const CLASSIFY: &str = "\
Examples:
  convoxide classify photo.jpg
  convoxide classify --model runs/shapes photo.jpg
  convoxide classify --model resnet50 --weights resnet50.pth \\
      --names imagenet.names --top 3 photos --gallery photos.html";

pub(crate) const EVAL: &str = "\
Examples:
  convoxide eval --model runs/pets --data pets
  convoxide eval --model best.safetensors --data cifar-10-binary.tar.gz --json
  convoxide eval --model runs/pets --data pets --gallery pets.html
  convoxide eval --model yolov3-tiny --data coco/val.json --json";

pub(crate) const EXPLAIN: &str = "\
Examples:
  convoxide explain --model mobilenet_v2 photo.jpg --output heat.png
  convoxide explain --model runs/pets --class dog \\
      --layer layer3.8 photo.jpg --output heat.png";

pub(crate) const STYLIZE: &str = "\
Examples:
  convoxide stylize --content photo.jpg --style painting.jpg --output new.png
  convoxide stylize --content photo.jpg --style gravel.png --model yolov3-tiny \\
      --size 256 --strength 30 --output new.png";

pub(crate) const TRAIN: &str = "\
Examples:
  convoxide train recipes/shapes.toml
  convoxide train --data photos
  convoxide train recipes/cifar10-resnet20.toml --data cifar-10-binary.tar.gz
  convoxide train recipes/shapes.toml --resume --epochs 12";

pub(crate) const FINE_TUNE: &str = "\
Examples:
  convoxide fine-tune --data photos
  convoxide fine-tune --data photos --epochs 12 --freeze-epochs 3
  convoxide fine-tune --data photos --model resnet18 --weights resnet18.pth";

pub(crate) const INIT: &str = "\
Examples:
  convoxide init
  convoxide init --model mobilenet_v2 photos.toml";

pub(crate) const FIND_LR: &str = "\
Examples:
  convoxide find-lr recipe.toml --data pictures
  convoxide find-lr recipes/shapes.toml --plot rates.svg";

pub(crate) const LINT: &str = "\
Examples:
  convoxide lint pictures
  convoxide lint pictures.tar.gz --json";

pub(crate) const CONVERT: &str = "\
Examples:
  convoxide convert VOCdevkit --to yolo --out cells
  convoxide convert cells/data.yaml --to coco --out coco --faulty clip";

pub(crate) const ANCHORS: &str = "\
Examples:
  convoxide anchors cells
  convoxide anchors cells --number 5 --head region --plot anchors.svg";

pub(crate) const PREVIEW: &str = "\
Examples:
  convoxide preview cells --out preview
  convoxide preview cells --mosaic 0.5 --batches 3 --out preview
  convoxide preview photos --recipe recipe.toml --out preview";

pub(crate) const PLOT: &str = "\
Examples:
  convoxide plot runs/shallow runs/deep --output curves.svg";

pub(crate) const SUMMARY: &str = "\
Examples:
  convoxide summary resnet50
  convoxide summary yolov3.cfg --size 320x608 --batch 4
  convoxide summary googlenet --mermaid
  convoxide summary yolov2.cfg --plan --memory small";

pub(crate) const BENCH: &str = "\
Examples:
  convoxide bench resnet50
  convoxide bench yolov3-tiny.cfg --weights yolov3-tiny.weights --profile
  convoxide bench resnet50 --tuning resnet50.json
  convoxide bench resnet18 --train --batch 16 --memory-limit 16GiB";

pub(crate) const TUNE: &str = "\
Examples:
  convoxide tune resnet50 --output resnet50.json
  convoxide tune yolov3.cfg --size 608 --threads 2 --output yolov3.json
  convoxide tune googlenet --batch 8 --output googlenet.json --json";

pub(crate) const RUN: &str = "\
Examples:
  convoxide run model.safetensors --input x.npy --output y.npy
  convoxide run model.safetensors --input x.npy --output plain.npy --plain
  convoxide run yolov3.cfg --weights yolov3.weights --input x.npy \\
      --output heads.npz";

pub(crate) const GRAD: &str = "\
Examples:
  convoxide grad resnet18 --weights resnet18.safetensors --input x.npy \\
      --labels y.npy --output gradients.safetensors
  convoxide grad model.safetensors --input x.npy --labels y.npy --plain \\
      --dtype f64 --output gradients.safetensors";

pub(crate) const KERNELS: &str = "\
Examples:
  convoxide kernels best.safetensors --output kernels.png
  convoxide kernels resnet18 --weights resnet18.safetensors \\
      --layer layer1.0.conv1 --scale 8 --output kernels.png";

pub(crate) const EXPORT: &str = "\
Examples:
  convoxide export mobilenet_v2 --output model.safetensors
  convoxide export resnet18 --weights resnet18.pth \\
      --names imagenet.names --output model.safetensors
  convoxide export yolov3.cfg --weights yolov3.weights \\
      --names coco.names --output yolov3.safetensors
  convoxide export yolov3.safetensors --format darknet --output darknet";

pub(crate) const FETCH: &str = "\
Examples:
  convoxide fetch --list
  convoxide fetch mobilenet_v2
  convoxide fetch yolov3-tiny demo-photo --json";

pub(crate) const LIST: &str = "\
Examples:
  convoxide list
  convoxide list --json";

pub(crate) const COMPLETIONS: &str = "\
Examples:
  convoxide completions bash > convoxide.bash && source convoxide.bash
  convoxide completions zsh > ~/.zfunc/_convoxide
  convoxide completions fish > ~/.config/fish/completions/convoxide.fish";

pub(crate) const MAN: &str = "\
Examples:
  convoxide man --output man";

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use crate::Cli;

    /// The command lines of the examples in a help text, each on one line without the text before the
    /// program's name.
    fn examples(help: &str) -> Vec<String> {
        let (_, examples) = help.split_once("Examples:\n").unwrap();
        let joined = examples.replace("\\\n", " ");
        let lines = joined.lines().filter(|line| !line.trim().is_empty());
        let program = |line: &str| {
            let start = line.find("convoxide ").unwrap_or_else(|| panic!("{line}"));
            let command = &line[start..];
            command
                .split_once(" > ")
                .map_or(command, |(command, _)| command)
                .to_owned()
        };
        lines.map(program).collect()
    }

    #[test]
    fn every_command_has_valid_examples() {
        let mut cli = Cli::command();
        cli.build();
        for command in cli
            .get_subcommands()
            .filter(|command| command.get_name() != "help")
        {
            let help = command.get_after_help().map(ToString::to_string);
            let examples = examples(&help.unwrap_or_else(|| panic!("{}", command.get_name())));
            assert!(!examples.is_empty());
            for example in examples {
                let words = example.split_whitespace();
                assert!(
                    words.clone().nth(1) == Some(command.get_name()),
                    "{example}"
                );
                if let Err(error) = Cli::try_parse_from(words) {
                    panic!("{example}: {error}");
                }
            }
        }
    }
}
