//! `WWW-Authenticate` as a registry sends it (RFC 9110 §11.6.1, distribution's token specification).

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use url::Url;

/// Where a registry wants a token to be fetched, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    /// The token endpoint.
    pub(super) realm: Url,
    pub(super) service: Option<String>,
    /// Several scopes are separated by blanks.
    pub(super) scope: Option<String>,
}

impl Challenge {
    /// The first Bearer challenge of an answer.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        values.find_map(Self::parse)
    }

    /// One challenge per header line, as registries write them.
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut realm = None;
        let (mut service, mut scope) = (None, None);
        for (name, value) in Parameters(rest) {
            match name.to_ascii_lowercase().as_str() {
                "realm" => realm = Url::parse(&value).ok(),
                "service" => service = Some(value),
                "scope" => scope = Some(value),
                _ => {}
            }
        }
        let realm = realm.filter(|realm| matches!(realm.scheme(), "http" | "https"))?;
        Some(Self { realm, service, scope })
    }
}

/// `name=value` pairs separated by commas; values are tokens or quoted strings, which may hold commas themselves.
struct Parameters<'a>(&'a str);

impl Iterator for Parameters<'_> {
    type Item = (String, String);

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.0.trim_start_matches([' ', '\t', ',']);
        let (name, rest) = text.split_once('=')?;
        let rest = rest.trim_start();
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut value = String::new();
            let mut characters = quoted.char_indices();
            while let Some((at, character)) = characters.next() {
                match character {
                    '"' => {
                        self.0 = &quoted[at + 1..];
                        return Some((name.trim().to_owned(), value));
                    }
                    '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
                    other => value.push(other),
                }
            }
            // An unclosed string is not a parameter.
            self.0 = "";
            None
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            self.0 = &rest[end..];
            Some((name.trim().to_owned(), rest[..end].trim_end().to_owned()))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_challenge_is_read_with_commas_and_quotes_inside() {
        let text = r#"Bearer realm="https://r.example/token",service="berth",scope="repository:a/b:pull,push x",error=invalid"#;
        assert_eq!(
            Challenge::parse(text),
            Some(Challenge {
                realm: Url::parse("https://r.example/token").unwrap(),
                service: Some("berth".into()),
                scope: Some("repository:a/b:pull,push x".into()),
            })
        );
        let escaped = r#"bearer scope="a\"b" , realm=http://localhost/t"#;
        let Some(Challenge { scope, .. }) = Challenge::parse(escaped) else { panic!("{escaped}") };
        assert_eq!(scope.as_deref(), Some("a\"b"));
    }

    #[test]
    fn what_is_no_challenge_is_ignored() {
        for text in ["Bearer", r#"Bearer realm="file:///etc/passwd""#, r#"Bearer realm="x"#, "Negotiate", ""] {
            assert_eq!(Challenge::parse(text), None, "{text}");
        }
    }

    #[test]
    fn bearer_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(WWW_AUTHENTICATE, "Basic realm=\"x\"".parse().unwrap());
        headers.append(WWW_AUTHENTICATE, "Bearer realm=\"https://r.example/token\"".parse().unwrap());
        assert_eq!(Challenge::of(&headers).unwrap().realm.as_str(), "https://r.example/token");
    }
}
