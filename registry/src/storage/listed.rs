//! Reads that begin with a LIST (amendment R14).
//!
//! Between a LIST and the read of what it named, the thing may have gone and a newer one may have come. Answering
//! with an older one, or with "not found", would show a state that never was. An empty LIST is no better: while it ran,
//! a tag may have moved, and the LIST may have missed both the version that came and the one that went.

use std::future::Future;

use crate::store::StoreError;

/// How often the list is asked again before the caller hears that the store is busy.
const ROUNDS: usize = 4;

/// The first of the listed candidates, best first, that can be read.
///
/// A candidate behind an unreadable one, or `None`, is only answered if a list begun after the failed read (or after
/// an empty list) names the same candidates.
pub(super) async fn read_listed<C, T, E, L, R>(list: impl Fn() -> L, read: impl Fn(C) -> R) -> Result<Option<T>, E>
where
    C: Clone + PartialEq,
    E: From<StoreError>,
    L: Future<Output = Result<Vec<C>, StoreError>>,
    R: Future<Output = Result<Option<T>, E>>,
{
    let mut candidates = list().await?;
    for _ in 0..ROUNDS {
        let mut found = None;
        let mut missed = candidates.is_empty();
        for candidate in &candidates {
            match read(candidate.clone()).await? {
                Some(value) => {
                    found = Some(value);
                    break;
                }
                None => missed = true,
            }
        }
        if !missed {
            return Ok(found);
        }
        let again = list().await?;
        if again == candidates {
            return Ok(found);
        }
        candidates = again;
    }
    let reason = "what was listed kept changing; try again".to_owned();
    Err(StoreError::Unavailable { key: String::new(), reason }.into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Answers lists from a script and reads from a set.
    async fn run(lists: &[&[u32]], readable: &[u32]) -> Result<Option<u32>, StoreError> {
        let script = RefCell::new(lists.iter());
        let list = || {
            let next = script.borrow_mut().next().expect("one more list than scripted").to_vec();
            async move { Ok(next) }
        };
        let read =
            |candidate: u32| async move { Ok::<_, StoreError>(readable.contains(&candidate).then_some(candidate)) };
        read_listed(list, read).await
    }

    #[tokio::test]
    async fn the_best_one_is_answered_at_once() {
        assert_eq!(run(&[&[2, 1]], &[1, 2]).await.unwrap(), Some(2));
    }

    #[tokio::test]
    async fn a_lower_one_wants_a_second_list() {
        assert_eq!(run(&[&[2, 1], &[2, 1]], &[1]).await.unwrap(), Some(1));
        assert_eq!(run(&[&[2, 1], &[3]], &[1, 3]).await.unwrap(), Some(3));
    }

    #[tokio::test]
    async fn absence_wants_a_second_list() {
        assert_eq!(run(&[&[], &[]], &[]).await.unwrap(), None);
        assert_eq!(run(&[&[], &[2]], &[2]).await.unwrap(), Some(2));
        assert_eq!(run(&[&[1], &[], &[]], &[]).await.unwrap(), None);
        assert_eq!(run(&[&[1], &[2]], &[2]).await.unwrap(), Some(2));
    }

    #[tokio::test]
    async fn a_list_that_never_rests_is_an_error() {
        assert!(run(&[&[1], &[2], &[3], &[4], &[5]], &[]).await.is_err());
    }
}
