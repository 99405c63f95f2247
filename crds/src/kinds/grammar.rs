//! Texts with a grammar, as schemas and CEL rules say it.
//!
//! Schemas speak regular expressions of Go's RE2 dialect, which `regex` shares for everything used here.

use std::sync::LazyLock;

use kube::core::Rule;
use regex::Regex;

/// Longest name of an object of the three kinds: a Kubernetes label holds it.
pub const MAX_OBJECT_NAME: usize = 63;
/// Longest key of a label: a DNS prefix of 253 characters, a slash, a name of 63.
pub const MAX_LABEL_KEY: usize = 317;

/// Name of a namespaced object (RFC 1123 subdomain), as API servers demand it. Up to 63 characters of it are always a
/// valid part of an image path.
pub const OBJECT_NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// Name of an entry in a list, and of a namespace (RFC 1123 label).
pub const LABEL_NAME: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// Value of a Kubernetes label; the length is bounded apart.
pub const LABEL_VALUE: &str = "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$";
/// Key of a Kubernetes label: an optional DNS prefix and a name of at most 63 characters.
pub const LABEL_KEY: &str = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]$";
/// SHA-256 in lower-case hexadecimal.
pub const SHA256: &str = "^[0-9a-f]{64}$";
/// A point in time of RFC 3339, as API servers write it.
pub const TIME: &str =
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$";
/// Shape of an IANA time zone name. Whether the zone exists is asked apart.
pub const TIME_ZONE: &str = "^[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$";

/// CEL: the time zone exists. `getHours` fails for an unknown one, and the failure refuses the object.
pub const TIME_ZONE_RULE: &str = "self != 'Local' && timestamp('2000-01-01T00:00:00Z').getHours(self) >= 0";

/// CEL: every pattern of a list is RE2. `matches` fails for one that is not, and the failure refuses the object; its
/// result does not matter.
pub const PATTERNS_RULE: &str = "self.all(pattern, ''.matches(pattern) in [true, false])";

/// The fields of a cron expression: what messages call them, one number of theirs, their longest step, their names in
/// order.
const CRON_FIELDS: [(&str, &str, u8, &str); 5] = [
    ("the minute (0 to 59)", "[0-5]?[0-9]", 59, ""),
    ("the hour (0 to 23)", "([01]?[0-9]|2[0-3])", 23, ""),
    ("the day of month (1 to 31)", "(0?[1-9]|[12][0-9]|3[01])", 30, ""),
    ("the month (1 to 12 or JAN to DEC)", "(0?[1-9]|1[0-2])", 11, "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"),
    ("the day of week (0 to 6 or SUN to SAT)", "[0-6]", 6, "SUNMONTUEWEDTHUFRISAT"),
];

/// One entry of a field's list as a regular expression: a value, or `*` or a range, with an optional step.
fn cron_part(position: usize) -> String {
    let (_, number, _, names) = CRON_FIELDS[position];
    let mut values = vec![number.to_owned()];
    let mut ranges = vec!["[*?]".to_owned(), format!("{number}-{number}")];
    if !names.is_empty() {
        let names: Vec<_> = names.as_bytes().chunks(3).map(String::from_utf8_lossy).collect();
        let name = format!("({})", names.join("|"));
        ranges.push(format!("{name}-{name}"));
        values.push(name);
    }
    format!("(?i)^({}|({})(/[1-9][0-9]?)?)$", values.join("|"), ranges.join("|"))
}

/// What to say of a field that is none.
fn cron_message(position: usize) -> String {
    let (title, ..) = CRON_FIELDS[position];
    format!("{title} must be a list of *, values or ranges, such as *, */2, 1-5 or 0,3")
}

/// CEL: one field of a cron expression, by its position, is what Kubernetes' CronJob and the registry's own schedule
/// both understand. Ranges run upwards, by number or by name.
pub fn cron_rule(position: usize) -> Rule {
    let (_, _, longest, names) = CRON_FIELDS[position];
    let part = cron_part(position);
    let bounds = "part.split('/')[0].split('-')";
    let mut rule = format!(
        "self.split(' ').size() != 5 || self.split(' ')[{position}].split(',').all(part, part.matches(r'{part}') && \
         (!part.matches('^[0-9]+-') || int({bounds}[0]) <= int({bounds}[1])) && \
         (!part.contains('/') || int(part.split('/')[1]) <= {longest})"
    );
    if !names.is_empty() {
        rule += &format!(
            " && (!part.matches('^[A-Za-z]+-') || '{names}'.indexOf({bounds}[0].upperAscii()) <= \
             '{names}'.indexOf({bounds}[1].upperAscii()))"
        );
    }
    rule.push(')');
    Rule::new(rule).message(cron_message(position).as_str())
}

/// What to say of a cron expression without five fields.
pub const CRON_FIELDS_MESSAGE: &str =
    "must be five fields separated by one space: minute, hour, day of month, month, day of week";

/// The same in Rust: what is wrong with the shape of a cron expression, if anything.
pub fn cron_problem(cron: &str) -> Option<String> {
    static PARTS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
        (0..CRON_FIELDS.len()).map(|position| Regex::new(&cron_part(position)).expect("made of constants")).collect()
    });
    let fields: Vec<&str> = cron.split(' ').collect();
    if fields.len() != CRON_FIELDS.len() {
        return Some(CRON_FIELDS_MESSAGE.to_owned());
    }
    let is_wrong = |position: usize| {
        let (_, _, longest, names) = CRON_FIELDS[position];
        // The place of a bound in its order: a number's own value, a name's in the list of names.
        let place = |bound: &str| bound.parse().ok().or_else(|| names.find(&bound.to_ascii_uppercase()));
        fields[position].split(',').any(|part| {
            let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
            !PARTS[position].is_match(part)
                || range.split_once('-').is_some_and(|(from, to)| place(from) > place(to))
                || step.is_some_and(|step| step.parse::<u8>().map_or(true, |step| step > longest))
        })
    };
    (0..CRON_FIELDS.len()).find(|&position| is_wrong(position)).map(cron_message)
}

/// CEL: the keys of a selector's labels are label keys; a schema cannot bound the keys of a map.
pub fn label_keys_rule() -> Rule {
    Rule::new(format!("!has(self.matchLabels) || self.matchLabels.all(key, size(key) <= {MAX_LABEL_KEY} && key.matches(r'{LABEL_KEY}'))"))
        .message("every key of matchLabels must be a label key, such as tier or example.com/tier")
}

/// CEL: a cron expression has five fields. The others hold for any number of them, so that one mistake has one message.
pub const CRON_FIELDS_RULE: &str = "self.split(' ').size() == 5";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cron_expressions_that_every_reader_understands() {
        for cron in [
            "* * * * *",
            "0 3 * * *",
            "*/15 0-6/2 1,15 JAN-MAR MON-FRI",
            "59 23 31 12 6",
            "0 0 ? * ?",
            "5,10-20,30-40/5 00 09 02 sun,tue",
        ] {
            assert_eq!(cron_problem(cron), None, "{cron}");
        }
    }

    #[test]
    fn others_are_refused_by_the_first_field_that_is_wrong() {
        for (cron, expected) in [
            ("", "five fields"),
            ("0 3 * *", "five fields"),
            ("0  3 * * *", "five fields"),
            ("0 0 3 * * *", "five fields"),
            ("@daily", "five fields"),
            ("60 * * * *", "the minute"),
            ("0/15 * * * *", "the minute"),
            ("*/0 * * * *", "the minute"),
            ("*/60 * * * *", "the minute"),
            ("30-10 * * * *", "the minute"),
            (", * * * *", "the minute"),
            ("0 24 * * *", "the hour"),
            ("0 0 L * *", "the day of month"),
            ("0 0 15W * *", "the day of month"),
            ("0 0 32 * *", "the day of month"),
            ("0 0 * 13 *", "the month"),
            ("0 0 * DEC-JAN *", "the month"),
            ("0 0 * * 7", "the day of week"),
            ("0 0 * * 1#2", "the day of week"),
            ("0 0 * * 1-FRI", "the day of week"),
            ("0 0 * * FRI-MON", "the day of week"),
            ("0 0 * * */7", "the day of week"),
        ] {
            assert!(
                cron_problem(cron).is_some_and(|problem| problem.contains(expected)),
                "{cron}: {:?}",
                cron_problem(cron)
            );
        }
    }
}
