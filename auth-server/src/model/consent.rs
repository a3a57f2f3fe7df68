//! What a consent page lists, and what is left of a request once its user has chosen.

use std::collections::BTreeSet;

use super::scope::{OFFLINE_ACCESS, OPENID, ScopeSet};

/// One thing that a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Permission {
    pub(crate) scope: String,
    /// The operator's words, where there are any.
    pub(crate) words: Option<String>,
    /// What it is as good as besides, in words.
    pub(crate) includes: Vec<String>,
    /// Whether it comes on top of what the user allowed this client before.
    pub(crate) is_new: bool,
    /// Whether the user may leave it out.
    pub(crate) is_optional: bool,
}

/// A scope as the operator describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) words: Option<String>,
    pub(crate) includes: Vec<String>,
}

/// Permissions of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) effect: Effect,
    pub(crate) permissions: Vec<Permission>,
}

/// What a scope lets a client do, as far as its name says. Pages show the groups in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Effect {
    Read,
    Change,
    Administer,
    /// The name does not say.
    Other,
}

/// What the user decided about the single permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice<'a> {
    /// The answer came without boxes: what was asked for, as the page showed it.
    AsAsked,
    /// The scopes whose boxes were ticked.
    Ticked(BTreeSet<&'a str>),
}

/// Why a choice cannot stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAChoice {
    /// Something is ticked that the page did not offer.
    NotOffered,
    /// There was something to tick, and nothing is: that is what denying is for.
    Nothing,
}

impl Effect {
    /// Reads the last word of the name, or the first: `notes:read`, `read:notes`. Operators choose the names, so a word
    /// that is not known here says nothing.
    fn of(scope: &str) -> Self {
        let mut words = scope.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let first = words.next();
        let last = words.next_back();
        last.and_then(Self::of_word).or_else(|| first.and_then(Self::of_word)).unwrap_or(Self::Other)
    }

    fn of_word(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "read" | "readonly" | "view" | "list" | "get" | "search" => Some(Self::Read),
            "write" | "edit" | "add" | "create" | "update" | "change" | "modify" | "delete" | "remove"
            | "send" | "manage" => Some(Self::Change),
            "admin" | "administer" | "owner" => Some(Self::Administer),
            _ => None,
        }
    }
}

/// What the page lists for a request, grouped by effect, in the order of [`Effect`].
///
/// `earlier` is what the user allowed this client before, with what that implies, if anything: the rest is marked as new.
pub(crate) fn permissions(
    requested: &ScopeSet,
    earlier: Option<&ScopeSet>,
    describe: impl Fn(&str) -> Described,
) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for scope in requested.iter().filter(|scope| *scope != OFFLINE_ACCESS) {
        let Described { words, includes } = describe(scope);
        let permission = Permission {
            scope: scope.to_owned(),
            words,
            includes,
            is_new: earlier.is_some_and(|earlier| !earlier.contains(scope)),
            is_optional: is_optional(scope),
        };
        let effect = Effect::of(scope);
        match groups.iter_mut().find(|group| group.effect == effect) {
            Some(group) => group.permissions.push(permission),
            None => groups.push(Group { effect, permissions: vec![permission] }),
        }
    }
    groups.sort_by_key(|group| group.effect);
    groups
}

/// The scopes of a request that its user granted. Never more than `requested`.
///
/// # Errors
/// See [`NotAChoice`].
pub(crate) fn granted(requested: &ScopeSet, choice: &Choice<'_>) -> Result<ScopeSet, NotAChoice> {
    let ticked = match choice {
        Choice::AsAsked => return Ok(requested.clone()),
        Choice::Ticked(ticked) => ticked,
    };
    if ticked.iter().any(|scope| !is_optional(scope) || !requested.contains(scope)) {
        return Err(NotAChoice::NotOffered);
    }
    if ticked.is_empty() && requested.iter().any(is_optional) {
        return Err(NotAChoice::Nothing);
    }
    Ok(requested.iter().filter(|scope| !is_optional(scope) || ticked.contains(scope)).collect())
}

/// `offline_access` has a line of its own on the page, and a request for who the user is makes no sense without.
fn is_optional(scope: &str) -> bool {
    scope != OFFLINE_ACCESS && scope != OPENID
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> ScopeSet {
        ScopeSet::parse(text).unwrap()
    }

    #[test]
    fn what_was_not_offered_cannot_be_granted() {
        for (requested, ticked, wanted) in [
            ("a b", &["c"][..], NotAChoice::NotOffered),
            ("a b", &["a", "c"], NotAChoice::NotOffered),
            ("a b", &["a b"], NotAChoice::NotOffered),
            ("a b", &[""], NotAChoice::NotOffered),
            ("a b", &["A"], NotAChoice::NotOffered),
            ("a", &["a", "offline_access"], NotAChoice::NotOffered),
            ("a offline_access", &["a", "offline_access"], NotAChoice::NotOffered),
            ("a openid", &["a", "openid"], NotAChoice::NotOffered),
            ("", &["a"], NotAChoice::NotOffered),
            ("a b", &[], NotAChoice::Nothing),
            ("a offline_access openid", &[], NotAChoice::Nothing),
        ] {
            let choice = Choice::Ticked(ticked.iter().copied().collect());
            assert_eq!(granted(&set(requested), &choice), Err(wanted), "{requested} {ticked:?}");
        }
    }

    #[test]
    fn what_was_ticked_is_granted_with_what_has_no_box() {
        for (requested, ticked, wanted) in [
            ("a b", &["a"][..], "a"),
            ("a b", &["a", "b"], "a b"),
            ("a b offline_access openid", &["b"], "b offline_access openid"),
            ("offline_access openid", &[], "offline_access openid"),
            ("", &[], ""),
        ] {
            let choice = Choice::Ticked(ticked.iter().copied().collect());
            assert_eq!(granted(&set(requested), &choice), Ok(set(wanted)), "{requested} {ticked:?}");
        }
        assert_eq!(granted(&set("a b"), &Choice::AsAsked), Ok(set("a b")));
    }

    proptest::proptest! {
        #[test]
        fn a_choice_never_widens_a_request(
            requested in proptest::collection::btree_set("[a-d]|openid|offline_access", 0..6),
            ticked in proptest::collection::btree_set("[a-d]|openid|offline_access", 0..6),
        ) {
            let requested: ScopeSet = requested.into_iter().collect();
            let choice = Choice::Ticked(ticked.iter().map(String::as_str).collect());
            if let Ok(granted) = granted(&requested, &choice) {
                proptest::prop_assert!(granted.is_subset(&requested));
                for scope in granted.iter().filter(|scope| is_optional(scope)) {
                    proptest::prop_assert!(ticked.contains(scope));
                }
            }
        }
    }

    #[test]
    fn names_say_what_a_scope_is_for_or_nothing() {
        for (scope, effect) in [
            ("notes:read", Effect::Read),
            ("read:notes", Effect::Read),
            ("https://as.test/notes.readonly", Effect::Read),
            ("notes:write", Effect::Change),
            ("notes.DELETE", Effect::Change),
            ("read:admin", Effect::Administer),
            ("admin", Effect::Administer),
            ("notes", Effect::Other),
            ("notes:reading", Effect::Other),
            ("read:notes:now", Effect::Read),
            (":", Effect::Other),
        ] {
            assert_eq!(Effect::of(scope), effect, "{scope}");
        }
    }

    #[test]
    fn only_a_second_consent_has_new_permissions() {
        let list = |earlier: Option<&ScopeSet>| {
            permissions(&set("notes:write notes:read other offline_access"), earlier, |scope| Described {
                words: (scope == "other").then(|| "Words".to_owned()),
                ..Described::default()
            })
        };
        assert!(list(None).iter().flat_map(|group| &group.permissions).all(|permission| !permission.is_new));
        let groups = list(Some(&set("notes:read")));
        let shown: Vec<_> = groups
            .iter()
            .map(|group| {
                let of = |permission: &Permission| (permission.scope.clone(), permission.is_new);
                (group.effect, group.permissions.iter().map(of).collect::<Vec<_>>())
            })
            .collect();
        assert_eq!(
            shown,
            [
                (Effect::Read, vec![("notes:read".to_owned(), false)]),
                (Effect::Change, vec![("notes:write".to_owned(), true)]),
                (Effect::Other, vec![("other".to_owned(), true)]),
            ]
        );
    }
}
