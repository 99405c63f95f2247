//! What a token says of itself, unverified: enough to keep what cannot be right away from the API server (DESIGN §4).

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

/// Longest token looked at, in bytes.
const LONGEST: usize = 16 * 1024;

/// Claims that every token of a ServiceAccount carries (RFC 7519).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Claims {
    iss: String,
    #[serde(default, deserialize_with = "one_or_many")]
    aud: Vec<String>,
    /// Seconds since 1970.
    exp: i64,
}

impl Claims {
    /// The claims of a three-part token; `None` for anything else.
    pub(super) fn of(token: &str) -> Option<Self> {
        if token.len() > LONGEST {
            return None;
        }
        let mut parts = token.split('.');
        let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
    }

    /// Whether the API server could accept such a token for us: our audience, the cluster's issuer (any, while that is
    /// not known) and a future end.
    pub(super) fn may_be_ours(&self, audience: &str, issuer: Option<&str>, now: Timestamp) -> bool {
        self.aud.iter().any(|one| one == audience)
            && issuer.is_none_or(|issuer| issuer == self.iss)
            && self.exp > now.as_second()
    }

    pub(super) fn end(&self) -> Option<Timestamp> {
        Timestamp::from_second(self.exp).ok()
    }
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn token(payload: &str) -> String {
        format!("e30.{}.sig", BASE64_URL_SAFE_NO_PAD.encode(payload))
    }

    #[test]
    fn only_a_token_of_the_cluster_for_us_that_has_not_ended_is_worth_a_question() {
        let now = Timestamp::from_second(100).unwrap();
        let ours = |payload: &str, issuer| {
            Claims::of(&token(payload)).is_some_and(|claims| claims.may_be_ours("registry", issuer, now))
        };
        assert!(ours(r#"{"iss":"cluster","aud":["api","registry"],"exp":101}"#, Some("cluster")));
        assert!(ours(r#"{"iss":"cluster","aud":"registry","exp":101}"#, None));
        assert!(!ours(r#"{"iss":"cluster","aud":["api"],"exp":101}"#, Some("cluster")), "the default audience");
        assert!(!ours(r#"{"iss":"other","aud":["registry"],"exp":101}"#, Some("cluster")));
        assert!(!ours(r#"{"iss":"cluster","aud":["registry"],"exp":100}"#, Some("cluster")), "it has ended");
        assert!(!ours(r#"{"iss":"cluster","aud":["registry"]}"#, None), "it never ends");
    }

    #[test]
    fn anything_but_three_parts_is_no_token() {
        let payload = BASE64_URL_SAFE_NO_PAD.encode(r#"{"iss":"i","aud":"a","exp":1}"#);
        assert!(Claims::of(&format!("e30.{payload}.s")).is_some());
        for text in ["", "..", "berth_x_y", &format!("e30.{payload}"), &format!("e30.{payload}.s.t"), "e30.!.s"] {
            assert_eq!(Claims::of(text), None, "{text}");
        }
        assert_eq!(Claims::of(&format!("{}.{payload}.s", "e".repeat(LONGEST))), None);
    }
}
