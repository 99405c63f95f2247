//! A child process that does not outlive its test, with everything it says at hand.

use anyhow::{Context as _, bail};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// How long a program may take to start or stop before the test gives up. Generous, because it only bounds a failure.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running program. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    output: Output,
}

/// The lines a program has printed, standard error and standard output together.
#[derive(Clone, Debug)]
struct Output {
    lines: Arc<Mutex<Vec<String>>>,
    count: watch::Sender<usize>,
}

impl Output {
    fn collect(&self, from: impl AsyncRead + Unpin + Send + 'static) {
        let output = self.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(from).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                output.lines.lock().expect("no holder of this lock panics").push(line);
                output.count.send_modify(|count| *count += 1);
            }
        });
    }

    fn all(&self) -> Vec<String> {
        self.lines.lock().expect("no holder of this lock panics").clone()
    }
}

impl Process {
    /// Starts `command` and collects what it prints.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(name: &str, mut command: Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let output = Output { lines: Arc::default(), count: watch::Sender::new(0) };
        output.collect(child.stdout.take().expect("standard output is piped above"));
        output.collect(child.stderr.take().expect("standard error is piped above"));
        Ok(Self { name: name.to_owned(), child, output })
    }

    /// Waits until `find` answers for a printed line.
    ///
    /// # Errors
    /// The program ends first, or [`PATIENCE`] does; the message holds what was printed.
    pub async fn wait_for_line<T>(&mut self, what: &str, find: impl Fn(&str) -> Option<T>) -> anyhow::Result<T> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut count = self.output.count.subscribe();
        loop {
            if let Some(found) = self.output.all().iter().find_map(|line| find(line)) {
                return Ok(found);
            }
            tokio::select! {
                _ = count.changed() => {}
                status = self.child.wait() => {
                    // What it said last may still be on its way through the pipe.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    bail!("{} ended ({}) before it said {what}:\n{}", self.name, status?, self.printed());
                }
                () = tokio::time::sleep_until(deadline) => {
                    bail!("{} did not say {what} within {PATIENCE:?}:\n{}", self.name, self.printed());
                }
            }
        }
    }

    /// Everything printed so far.
    pub fn printed(&self) -> String {
        self.output.all().join("\n")
    }

    /// The process id.
    ///
    /// # Errors
    /// The program has ended.
    pub fn id(&self) -> anyhow::Result<u32> {
        self.child.id().with_context(|| format!("{} has ended:\n{}", self.name, self.printed()))
    }

    /// Whether the program has ended.
    pub fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// `kill -9`, and waits until the process is gone.
    ///
    /// # Errors
    /// The operating system refuses.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.with_context(|| format!("cannot kill {}", self.name))
    }

    /// Asks the program to end (SIGTERM), without waiting.
    ///
    /// # Errors
    /// The program has ended already.
    pub fn terminate(&self) -> anyhow::Result<()> {
        // The shell's own kill: sending a signal from here would need `unsafe` or another dependency.
        let status = std::process::Command::new("sh").args(["-c", &format!("kill -TERM {}", self.id()?)]).status()?;
        anyhow::ensure!(status.success(), "kill -TERM {}: {status}", self.name);
        Ok(())
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// [`PATIENCE`] ends first; the message holds what was printed.
    pub async fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        match tokio::time::timeout(PATIENCE, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => bail!("{} did not end within {PATIENCE:?}:\n{}", self.name, self.printed()),
        }
    }

    /// Most memory the process has held at once, in bytes (VmHWM).
    ///
    /// # Errors
    /// The program has ended.
    pub fn peak_memory(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()?))?;
        let kib: u64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok())
            .context("/proc names no VmHWM")?;
        Ok(kib * 1024)
    }
}
