//! The worker protocol of `cargo xtask bench --peers`, for the sides in Rust.
//!
//! `benchmarks/peers/worker.py` describes it, and does the same for those in Python.

#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt::Write as _;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The result of everything here; the error is text for a person.
pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What the command line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The folder that `peers.export` has written.
    pub folder: PathBuf,
    /// The network's name.
    pub network: String,
    /// The input's shape `[n, c, h, w]`.
    pub input: [usize; 4],
    /// The number of threads.
    pub threads: usize,
}

impl Job {
    /// Reads the arguments `--folder F --network NAME --input 1x3x224x224 --threads T`.
    ///
    /// # Errors
    ///
    /// An argument that is missing or not as above.
    pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Self> {
        let args: Vec<String> = args.into_iter().collect();
        let value = |name: &str| {
            let at = args.iter().position(|arg| arg == name);
            at.and_then(|at| args.get(at + 1))
                .ok_or_else(|| format!("{name} is missing"))
        };
        let sizes: std::result::Result<Vec<usize>, _> =
            value("--input")?.split('x').map(str::parse).collect();
        Ok(Self {
            folder: value("--folder")?.into(),
            network: value("--network")?.clone(),
            input: <[usize; 4]>::try_from(sizes?).map_err(|_| "--input has not four sizes")?,
            threads: value("--threads")?.parse()?,
        })
    }
}

/// A network that is ready to run.
pub trait Side {
    /// Computes the output for an input `[n, c, h, w]` and keeps it.
    ///
    /// # Errors
    ///
    /// Those of the library.
    fn run(&mut self, input: &[f32]) -> Result<()>;

    /// The output of the last run, NCHW.
    ///
    /// # Errors
    ///
    /// Those of the library, and an output that is not f32.
    fn output(&self) -> Result<Vec<f32>>;

    /// What else there is to say once the network has run: JSON members such as `, "isa": "avx2"`.
    fn facts(&self) -> String {
        String::new()
    }

    /// The peak rate of multiply-adds in GFLOP/s, measured now; `None` if the side cannot tell.
    fn peak(&self) -> Option<f64> {
        None
    }
}

/// Answers commands until standard input ends. `load` loads and compiles a network.
///
/// # Errors
///
/// Whatever failed, after it has been told as an answer.
pub fn serve<S: Side>(
    name: &str,
    version: &str,
    job: &Job,
    load: impl Fn(&Job) -> Result<S>,
) -> Result<()> {
    let mut out = std::io::stdout();
    let memory = number(status_mib("VmRSS"));
    writeln!(
        out,
        r#"{{"name": "{name}", "version": "{version}", "memory_mib": {memory}}}"#
    )?;
    let mut worker = Worker {
        side: None,
        input: Vec::new(),
    };
    for line in std::io::stdin().lock().lines() {
        let answer = worker.answer(&line?, job, &load);
        match &answer {
            Ok(answer) => writeln!(out, "{answer}")?,
            Err(error) => writeln!(out, r#"{{"error": "{}"}}"#, escaped(&error.to_string()))?,
        }
        out.flush()?;
        answer?;
    }
    Ok(())
}

struct Worker<S> {
    side: Option<S>,
    input: Vec<f32>,
}

impl<S: Side> Worker<S> {
    fn answer(
        &mut self,
        line: &str,
        job: &Job,
        load: &impl Fn(&Job) -> Result<S>,
    ) -> Result<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["first", input, output] => {
                self.input = read(Path::new(input))?;
                let start = Instant::now();
                let side = self.side.insert(load(job)?);
                side.run(&self.input)?;
                let first = milliseconds(start);
                write(Path::new(output), &side.output()?)?;
                Ok(format!(r#"{{"first_ms": {first}{}}}"#, side.facts()))
            }
            ["answer", input, output] => {
                self.input = read(Path::new(input))?;
                let input = std::mem::take(&mut self.input);
                let side = self.side()?;
                side.run(&input)?;
                write(Path::new(output), &side.output()?)?;
                self.input = input;
                Ok("{}".to_owned())
            }
            ["run", times] => {
                let times: usize = times.parse()?;
                let input = std::mem::take(&mut self.input);
                let side = self.side()?;
                side.run(&input)?;
                let mut list = String::new();
                for time in 0..times {
                    let start = Instant::now();
                    side.run(&input)?;
                    let ms = milliseconds(start);
                    write!(list, "{}{ms}", if time == 0 { "" } else { ", " })?;
                }
                self.input = input;
                Ok(format!(r#"{{"ms": [{list}]}}"#))
            }
            ["memory"] => Ok(format!(
                r#"{{"peak_mib": {}}}"#,
                number(status_mib("VmHWM"))
            )),
            ["peak"] => Ok(format!(r#"{{"gflops": {}}}"#, number(self.side()?.peak()))),
            _ => Err(format!("{line:?} is not a command").into()),
        }
    }

    fn side(&mut self) -> Result<&mut S> {
        Ok(self.side.as_mut().ok_or("`first` comes first")?)
    }
}

fn milliseconds(start: Instant) -> f64 {
    1e3 * start.elapsed().as_secs_f64()
}

/// A number of JSON.
fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| value.to_string())
}

/// Text within a string of JSON.
fn escaped(text: &str) -> String {
    let plain = text.replace('\\', "\\\\").replace('"', "\\\"");
    plain.replace(|c: char| c.is_control(), " ")
}

/// A line of `/proc/self/status` in MiB; `None` where there is none.
fn status_mib(name: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}

/// The values of a file of bare f32.
fn read(path: &Path) -> Result<Vec<f32>> {
    let bytes = std::fs::read(path)?;
    let (values, rest) = bytes.as_chunks::<4>();
    match rest {
        [] => Ok(values.iter().copied().map(f32::from_le_bytes).collect()),
        _ => Err(format!("{} is no file of f32", path.display()).into()),
    }
}

fn write(path: &Path, values: &[f32]) -> Result<()> {
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    Ok(std::fs::write(path, bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Job> {
        Job::parse(text.split(' ').map(str::to_owned))
    }

    #[test]
    fn a_job_is_parsed() {
        let job = parse("--folder a --network b --input 8x3x224x192 --threads 2").unwrap();
        let expected = Job {
            folder: "a".into(),
            network: "b".to_owned(),
            input: [8, 3, 224, 192],
            threads: 2,
        };
        assert_eq!(job, expected);
        for bad in [
            "--folder a --network b --input 8x3x224 --threads 2",
            "--folder a --network b --input 8x3x224xy --threads 2",
            "--folder a --network b --input 8x3x224x192 --threads",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    /// Doubles its input.
    struct Double(Vec<f32>);

    impl Side for Double {
        fn run(&mut self, input: &[f32]) -> Result<()> {
            self.0 = input.iter().map(|x| 2.0 * x).collect();
            Ok(())
        }

        fn output(&self) -> Result<Vec<f32>> {
            Ok(self.0.clone())
        }
    }

    #[test]
    fn commands_are_answered() {
        let folder = std::env::temp_dir().join(format!("worker-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let [input, output] = ["input", "output"].map(|name| folder.join(name));
        write(&input, &[1.0, -2.5]).unwrap();
        let job = parse("--folder a --network b --input 1x1x1x2 --threads 1").unwrap();
        let mut worker = Worker {
            side: None,
            input: Vec::new(),
        };
        let mut ask = |line: &str| worker.answer(line, &job, &|_: &Job| Ok(Double(Vec::new())));
        assert!(ask("run 1").is_err());
        let files = format!("{} {}", input.display(), output.display());
        assert!(
            ask(&format!("first {files}"))
                .unwrap()
                .starts_with(r#"{"first_ms": "#)
        );
        assert_eq!(read(&output).unwrap(), [2.0, -5.0]);
        assert_eq!(ask("run 3").unwrap().matches(", ").count(), 2);
        assert_eq!(ask("peak").unwrap(), r#"{"gflops": null}"#);
        assert!(ask("sleep").is_err());
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn an_error_is_one_line_of_json() {
        assert_eq!(escaped("a \"b\"\n\\c"), "a \\\"b\\\" \\\\c");
    }
}
