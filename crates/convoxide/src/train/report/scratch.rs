//! Scratch.
use super::*;

fn noise(key: u64) -> f64 {
    let mut x = key.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x1234_5678;
    x ^= x >> 31;
    x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x ^= x >> 29;
    (x % 10_000) as f64 / 10_000.0 - 0.5
}

fn epochs(count: usize, top5: bool) -> Vec<Epoch> {
    (1..=count)
        .map(|e| {
            let t = e as f64 / count as f64;
            let fall = (-5.0 * t).exp();
            let n = noise(e as u64);
            let wobble = 0.12 * n * (1.0 - t).max(0.05);
            Epoch {
                epoch: e,
                steps: 390 * e as u64,
                rate: if t < 0.1 {
                    t
                } else {
                    0.05 * (1.0 + (std::f64::consts::PI * t).cos())
                },
                train_loss: 0.25 + 1.8 * fall + 0.02 * n,
                train_accuracy: 0.93 - 0.6 * fall + 0.005 * n,
                valid_loss: Some(0.34 + 1.7 * fall - 2.5 * wobble),
                valid_accuracy: Some(0.885 - 0.55 * fall + wobble),
                valid_top5: top5.then_some(0.995 - 0.3 * fall),
                seconds: 24.1 + n,
                pictures_per_second: 2071.3 + 40.0 * n,
            }
        })
        .collect()
}

fn matrix(classes: usize, pictures: u64) -> Vec<Vec<u64>> {
    (0..classes)
        .map(|t| {
            let mut row: Vec<u64> = (0..classes)
                .map(|p| {
                    let n = noise((t * 1000 + p) as u64) + 0.5;
                    let near = if t / 5 == p / 5 { 0.06 } else { 0.01 };
                    (pictures as f64 * near * n * n * n * (10.0 / classes as f64).max(0.25)) as u64
                })
                .collect();
            row[t] = 0;
            let wrong: u64 = row.iter().sum();
            row[t] = pictures.saturating_sub(wrong);
            row
        })
        .collect()
}

#[test]
fn pages() {
    let mut files: Vec<_> = std::fs::read_dir("/tmp/h6/png")
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.sort();
    let worst: Vec<Mistake> = files
        .iter()
        .enumerate()
        .map(|(i, f)| Mistake {
            png: std::fs::read(f).unwrap(),
            truth: i % 10,
            predicted: (i * 3 + 1) % 10,
            score: 0.999 - 0.013 * i as f64,
            file: format!("cifar10/valid/cat/{:04}_some_long_name.jpg", i * 37),
        })
        .collect();
    let ten = [
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ]
    .map(str::to_owned)
    .to_vec();
    let recipe = "# ResNet-20 on CIFAR-10: 84.8 % in 12 minutes on two cores.\nmodel = \"resnet20\"\nseed = 1\nepochs = 30\nbatch = 128\n\n[optimiser]\nkind = \"sgd\"\nmomentum = 0.9\nweight_decay = 1e-4\n\n[[augmentation]]\nkind = \"pad-and-crop\"\npadding = 4\n";
    let page = |name: &str,
                title: &str,
                epochs: &[Epoch],
                classes: &[String],
                rows: Option<&[Vec<u64>]>,
                worst: &[Mistake]| {
        Report {
            title,
            recipe,
            epochs,
            classes,
            confusion: rows,
            worst,
            command: "convoxide train recipes/resnet20-cifar10.toml --data data/cifar10-jpeg.tar.gz --out runs/resnet20 --threads 2",
            seed: 1,
            threads: 2,
            version: "0.1.0",
            duration: Duration::from_secs_f64(724.2),
        }
        .write(Path::new(&format!("/tmp/h6/{name}.html")))
        .unwrap();
    };
    page(
        "ten",
        "ResNet-20 on CIFAR-10",
        &epochs(30, false),
        &ten,
        Some(&matrix(10, 500)),
        &worst,
    );
    let hundred: Vec<String> = (0..100)
        .map(|i| {
            [
                "apple",
                "aquarium fish",
                "baby",
                "bear",
                "beaver",
                "lawn mower",
                "sweet pepper",
                "tank",
            ][i % 8]
                .to_owned()
                + &format!(" {i}")
        })
        .collect();
    page(
        "hundred",
        "ResNet-56 on CIFAR-100",
        &epochs(200, true),
        &hundred,
        Some(&matrix(100, 100)),
        &[],
    );
    let mut bad = epochs(8, false);
    for e in &mut bad[5..] {
        e.train_loss = f64::NAN;
        e.valid_loss = Some(f64::INFINITY);
        e.valid_accuracy = Some(0.1);
    }
    bad[4].train_loss = 4e8;
    let evil: Vec<String> = [
        "<script>alert(1)</script>",
        "\u{202e}reversed",
        "a name that never ends, or so it seems to the one who has to read all of it",
        "x\u{0}\n\"'",
        "",
        "犬",
    ]
    .map(str::to_owned)
    .to_vec();
    page(
        "bad",
        "A <b>title</b> \u{202e}that means harm",
        &bad,
        &evil,
        Some(&matrix(6, 100)),
        &worst[..3],
    );
    page(
        "one",
        "Tiny net on drawn shapes",
        &epochs(1, false),
        &ten[..3],
        Some(&matrix(3, 20)),
        &[],
    );
    page("none", "Tiny net on drawn shapes", &[], &ten, None, &[]);
}
