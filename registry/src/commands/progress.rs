//! Progress of a run on a terminal; silent everywhere else, where the log says enough.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::count;
use crate::cleanup::{Phase, RunState};

/// A spinner while tags are counted, a bar while they are deleted. Drawn on stderr, so that stdout stays a result.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    deleting: bool,
}

impl Progress {
    /// Nothing is drawn where stderr is no terminal.
    pub fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::default_spinner().tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar, deleting: false }
    }

    /// Shows where the run is.
    pub fn show(&mut self, state: &RunState) {
        match state.phase {
            Phase::Planning => self.bar.set_message(format!(
                "Looking at {} in {}",
                count(state.tags, "tag"),
                count(state.images, "image")
            )),
            Phase::Deleting => {
                if !self.deleting {
                    self.deleting = true;
                    // The template is a constant of ours; without it the default bar is shown.
                    if let Ok(style) = ProgressStyle::with_template("Deleting {bar:30} {pos}/{len} tags  {elapsed}") {
                        self.bar.set_style(style.progress_chars("━╸─"));
                    }
                    self.bar.set_length(state.planned);
                }
                self.bar.set_position(state.settled);
            }
            Phase::Finished | Phase::Failed | Phase::Interrupted => self.clear(),
        }
    }

    /// Hides the bar while something else is written.
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    /// Removes the bar: what follows is the result.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
