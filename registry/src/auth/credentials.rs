//! What a request shows in `Authorization`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// The credentials of a request, unverified.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Shown {
    Nothing,
    /// `Basic`: a user name, possibly empty, and a password or token.
    Basic {
        name: String,
        password: String,
    },
    Bearer(String),
    /// A header that is there and cannot be understood: a bad credential, never none.
    Unreadable,
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Basic { .. } => "Basic",
            Self::Bearer(_) => "Bearer",
            Self::Unreadable => "Unreadable",
        })
    }
}

impl Shown {
    pub(super) fn by(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        match (values.next(), values.next()) {
            (None, _) => Self::Nothing,
            (Some(value), None) => value.to_str().ok().and_then(read).unwrap_or(Self::Unreadable),
            // Two of them: which one is meant is not ours to guess.
            (Some(_), Some(_)) => Self::Unreadable,
        }
    }
}

fn read(value: &str) -> Option<Shown> {
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim();
    if rest.is_empty() {
        return None;
    }
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Shown::Bearer(rest.to_owned()));
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
        let (name, password) = decoded.split_once(':')?;
        return Some(Shown::Basic { name: name.to_owned(), password: password.to_owned() });
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn shown(values: &[&str]) -> Shown {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        Shown::by(&headers)
    }

    #[test]
    fn a_header_that_cannot_be_understood_is_never_no_header() {
        assert_eq!(shown(&[]), Shown::Nothing);
        let broken = ["", "Bearer", "Bearer ", "Basic", "Basic ???", "Basic YWxpY2U=", "Digest x", "Basic //8=", "x"];
        for value in broken {
            assert_eq!(shown(&[value]), Shown::Unreadable, "{value}");
        }
        assert_eq!(shown(&["Bearer a", "Bearer b"]), Shown::Unreadable);
    }

    #[test]
    fn schemes_are_read_in_any_case_and_passwords_may_hold_colons() {
        let basic = Shown::Basic { name: "alice".to_owned(), password: "a:b".to_owned() };
        assert_eq!(shown(&["basic YWxpY2U6YTpi"]), basic);
        assert_eq!(shown(&["BEARER x.y.z"]), Shown::Bearer("x.y.z".to_owned()));
        let nameless = Shown::Basic { name: String::new(), password: "t".to_owned() };
        assert_eq!(shown(&["Basic OnQ="]), nameless);
    }
}
