//! The cron expressions that Kubernetes and `croner` both take and understand alike.
//!
//! Refused, because only one of the two knows them or they disagree: `L`, `W`, `#`, `7` for Sunday, `N/step` (write
//! `N-max/step`), `@daily` and its like, `TZ=` prefixes, ranges that run backwards. Where the two count differently, the
//! expression is rewritten for `croner`: a day-of-month or day-of-week such as `*/2` restricts the day in Kubernetes, so
//! that the *other* day field adds days to it, while a plain `*` does not.

/// Why a cron expression is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    #[error(
        "\"{0}\" is a word, not five fields: write for example \"0 3 * * *\" for every day at three, or give a cadence"
    )]
    Word(String),
    #[error("the cron expression \"{0}\" names a time zone: write it into spec.schedule.timeZone")]
    TimeZone(String),
    #[error("the cron expression \"{0}\" has {1} fields: write minute, hour, day of month, month, day of week")]
    Fields(String, usize),
    #[error(
        "\"{text}\" is no {field}: write numbers from {min} to {max}{names}, *, ranges such as {min}-{max} and steps such as */2"
    )]
    Field { field: &'static str, text: String, min: u8, max: u8, names: &'static str },
    #[error("the {field} \"{text}\" runs backwards: write the two parts as a list")]
    Backwards { field: &'static str, text: String },
    #[error("the {field} \"{text}\" has a step without a range: write {text_start}-{max}/{step}")]
    BareStep { field: &'static str, text: String, text_start: String, max: u8, step: String },
    #[error("the {field} \"{text}\" has a step of 0 or beyond its range")]
    Step { field: &'static str, text: String },
    #[error("the cron expression \"{0}\" is not understood: {1}")]
    Refused(String, String),
}

struct Field {
    name: &'static str,
    min: u8,
    max: u8,
    names: &'static [&'static str],
    hint: &'static str,
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const FIELDS: [Field; 5] = [
    Field { name: "minute", min: 0, max: 59, names: &[], hint: "" },
    Field { name: "hour", min: 0, max: 23, names: &[], hint: "" },
    Field { name: "day of month", min: 1, max: 31, names: &[], hint: "" },
    Field { name: "month", min: 1, max: 12, names: &MONTHS, hint: " or jan to dec" },
    Field { name: "day of week", min: 0, max: 6, names: &WEEKDAYS, hint: " (0 is Sunday) or sun to sat" },
];

/// Checks an expression and writes it for `croner`.
pub(super) fn plain(expression: &str) -> Result<String, CronError> {
    let trimmed = expression.trim();
    if trimmed.starts_with('@') {
        return Err(CronError::Word(trimmed.to_owned()));
    }
    if trimmed.contains('=') {
        return Err(CronError::TimeZone(trimmed.to_owned()));
    }
    let texts: Vec<&str> = trimmed.split_ascii_whitespace().collect();
    let texts: [&str; 5] =
        texts.as_slice().try_into().map_err(|_| CronError::Fields(trimmed.to_owned(), texts.len()))?;
    let mut fields = Vec::with_capacity(FIELDS.len());
    for (field, text) in FIELDS.iter().zip(texts) {
        let (days, every) = field.read(text)?;
        fields.push(match field.name {
            // How often a time recurs decides what happens when clocks are put back: keep the author's form.
            "minute" | "hour" => text.replace('?', "*"),
            _ if every => "*".to_owned(),
            _ => days.iter().map(u8::to_string).collect::<Vec<_>>().join(","),
        });
    }
    Ok(fields.join(" "))
}

impl Field {
    /// The values of a field in order, and whether it leaves everything open, as Kubernetes sees it.
    fn read(&self, text: &str) -> Result<(Vec<u8>, bool), CronError> {
        let mut values = vec![false; usize::from(self.max) + 1];
        let mut every = false;
        for item in text.split(',') {
            let (range, step) = match item.split_once('/') {
                Some((range, step)) => (range, Some(step)),
                None => (item, None),
            };
            let open = matches!(range, "*" | "?");
            let (first, last) = match range.split_once('-') {
                _ if open => (self.min, self.max),
                Some((first, last)) => (self.value(first, text)?, self.value(last, text)?),
                None => {
                    let value = self.value(range, text)?;
                    if let Some(step) = step {
                        return Err(CronError::BareStep {
                            field: self.name,
                            text: text.to_owned(),
                            text_start: range.to_owned(),
                            max: self.max,
                            step: step.to_owned(),
                        });
                    }
                    (value, value)
                }
            };
            if first > last {
                return Err(CronError::Backwards { field: self.name, text: text.to_owned() });
            }
            let step = match step {
                None => 1,
                Some(step) => self.step(step, text)?,
            };
            every |= open && step == 1;
            (first..=last).step_by(step).for_each(|value| values[usize::from(value)] = true);
        }
        Ok(((self.min..=self.max).filter(|value| values[usize::from(*value)]).collect(), every))
    }

    fn value(&self, item: &str, text: &str) -> Result<u8, CronError> {
        let lower = item.to_ascii_lowercase();
        let named = self.names.iter().zip(self.min..).find(|(name, _)| **name == lower).map(|(_, value)| value);
        let digits = (1..=2).contains(&item.len()) && item.bytes().all(|byte| byte.is_ascii_digit());
        let value = named.or_else(|| if digits { item.parse().ok() } else { None });
        value.filter(|value| (self.min..=self.max).contains(value)).ok_or_else(|| CronError::Field {
            field: self.name,
            text: text.to_owned(),
            min: self.min,
            max: self.max,
            names: self.hint,
        })
    }

    fn step(&self, step: &str, text: &str) -> Result<usize, CronError> {
        let digits = (1..=2).contains(&step.len()) && step.bytes().all(|byte| byte.is_ascii_digit());
        let step = if digits { step.parse().ok() } else { None };
        step.filter(|step| (1..=usize::from(self.max - self.min)).contains(step))
            .ok_or_else(|| CronError::Step { field: self.name, text: text.to_owned() })
    }
}
