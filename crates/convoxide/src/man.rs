//! `convoxide man`: writes the manual pages, for packagers.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_mangen::Man;
use files::whole_file;

use crate::Cli;
use crate::error::Error;

/// Write the manual pages into a folder
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder to write into
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
}

/// Runs the command.
///
/// # Errors
///
/// [`Error::OutFolder`] and [`Error::Write`].
pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    std::fs::create_dir_all(&args.output).map_err(|error| Error::OutFolder {
        path: args.output.clone(),
        error,
    })?;
    let mut cli = Cli::command();
    cli.build();
    let shown = cli
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    for command in std::iter::once(&cli).chain(shown) {
        let name = command.get_display_name().unwrap_or(command.get_name());
        let path = args.output.join(format!("{name}.1"));
        let page = Man::new(command.clone());
        let mut text = Vec::new();
        page.render(&mut text)
            .map_err(files::Error::Io)
            .and_then(|()| {
                whole_file::replace(&path, |file| Ok::<_, files::Error>(file.write_all(&text)?))
            })
            .map_err(|error| Error::Write { path, error })?;
    }
    Ok(ExitCode::SUCCESS)
}
