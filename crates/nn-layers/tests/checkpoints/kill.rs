//! A process that is killed while it saves leaves a valid checkpoint, at whatever time it is
//! killed.

use std::{
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use ndarray::ArrayD;
use nn_layers::{Checkpoint, CheckpointFolder, Slot};

/// The variable that tells the second process where to save.
const FOLDER: &str = "CONVOXIDE_TEST_CHECKPOINTS";

/// The line that it prints after each save.
const SAVED: &str = "saved one";

/// Saves checkpoints until it is killed, one step apart.
fn save_for_ever(folder: &Path) {
    let mut folder = CheckpointFolder::new(folder, 3);
    let latest = folder.latest::<f32>().unwrap();
    let mut step = latest.map_or(0, |latest| latest.checkpoint.position.step);
    loop {
        step += 1;
        let mut checkpoint = Checkpoint::default();
        checkpoint.position.step = step;
        // All values of a checkpoint show its step; there are enough of them to be written in
        // several pieces.
        let weight = ArrayD::from_elem(vec![50_000], step as f32);
        checkpoint.params.insert("weight", Slot::Weight, weight);
        folder.save(&checkpoint).unwrap();
        println!("{SAVED}");
    }
}

#[test]
fn killed_two_hundred_times() {
    const KILLS: u64 = 200;
    if let Some(folder) = env::var_os(FOLDER) {
        save_for_ever(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut step = 0;
    for kill in 0..KILLS {
        let mut saver = Command::new(env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "kill::killed_two_hundred_times"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = BufReader::new(saver.stdout.take().unwrap()).lines();
        let mut saved = said.filter(|line| line.as_ref().is_ok_and(|line| line == SAVED));
        // Two saves show how long one takes; then the process is killed at some point in the next
        // two.
        saved.next().unwrap().unwrap();
        let start = Instant::now();
        saved.next().unwrap().unwrap();
        std::thread::sleep(start.elapsed() * (kill * 37 % 100) as u32 / 50);
        saver.kill().unwrap();
        saver.wait().unwrap();

        let latest = CheckpointFolder::new(folder.path(), 3)
            .latest::<f32>()
            .unwrap();
        let latest = latest.unwrap();
        assert!(latest.damaged.is_empty(), "{:?}", latest.damaged);
        let Checkpoint {
            position, params, ..
        } = latest.checkpoint;
        assert!(
            position.step >= step + 2,
            "step {} after {step}",
            position.step
        );
        step = position.step;
        let weight = &params.get("weight").unwrap().value;
        assert!(weight.len() == 50_000 && weight.iter().all(|&x| x == step as f32));
    }
}
