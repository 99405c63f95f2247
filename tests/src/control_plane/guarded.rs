//! Servers that end with the program that started them, however it ends.
//!
//! A test program runs its statics' destructors never, may panic, and may be killed. So each server is the child of a
//! shell that holds the read end of a pipe; this program holds the other end and never writes. When this program is gone,
//! the kernel closes the pipe, and the shell kills the server. The shell leads a process group of its own, so that Ctrl-C
//! on a terminal, which goes to the whole foreground group, leaves it the time to do so.

use anyhow::Context as _;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// `$0` is the log, the rest the command. The pipe stays at 3: a shell gives background jobs an empty standard input. The
/// watcher goes first when the server ends by itself, so that it never kills a stranger with the same process id.
const GUARD: &str = r#"
exec 3<&0 </dev/null >>"$0" 2>&1
"$@" 3<&- &
server=$!
{ while read -r _; do :; done; kill -KILL "$server"; } <&3 &
watcher=$!
exec 3<&-
wait "$server"
status=$?
kill "$watcher"
exit "$status"
"#;

/// `$0` is a folder that goes when this program does. Repeated, because the servers in it are killed at the same moment.
const SWEEP: &str = r#"
while read -r _; do :; done
for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$0" && exit; sleep 0.2; done
"#;

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Guarded {
    name: &'static str,
    log: PathBuf,
    guard: Child,
}

impl Guarded {
    /// Starts `command`, whose output goes to `<name>.log` in `folder`.
    pub(super) fn start(
        name: &'static str,
        folder: &Path,
        program: &Path,
        arguments: &[impl AsRef<OsStr>],
    ) -> anyhow::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let guard =
            shell(GUARD, &log).arg(program).args(arguments).spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, log, guard })
    }

    /// That the server still runs.
    ///
    /// # Errors
    /// It has ended; the message holds the end of its log.
    pub(super) fn alive(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.guard.try_wait()? {
            anyhow::bail!("{} ended ({status}):\n{}", self.name, self.last_words());
        }
        Ok(())
    }

    /// The end of the server's log.
    pub(super) fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // Closing the pipe is what ends the server.
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// Deletes `folder` when this program ends. Dropping what it returns does so at once.
pub(super) fn sweep(folder: &Path) -> anyhow::Result<Guarded> {
    let guard = shell(SWEEP, folder).stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("cannot start sh")?;
    Ok(Guarded { name: "sweep", log: PathBuf::new(), guard })
}

fn shell(script: &str, zero: &Path) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(zero).stdin(Stdio::piped()).process_group(0);
    command
}
