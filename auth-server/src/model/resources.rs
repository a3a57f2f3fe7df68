//! The resources of this server, and which of them a request means (RFC 8707).

use std::sync::Arc;

use super::{
    client::Origin,
    resource::{Lifetimes, Resource},
};

/// Every resource that tokens are issued for.
#[derive(Debug)]
pub(crate) struct Resources {
    all: Vec<Arc<Resource>>,
    /// For grants whose resources have all left the configuration.
    fallback: Lifetimes,
}

/// Why a request has no target. The client is told no more than these words: what there is, it learns elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoTarget {
    /// A `resource` parameter names nothing here.
    Unknown,
    /// It names what clients of this kind may not ask for.
    Closed,
    /// None is named, and there is none that would be meant.
    Missing,
}

impl NoTarget {
    /// For `error_description`.
    pub(crate) const fn description(self) -> &'static str {
        match self {
            Self::Unknown => "resource is not known to this server",
            Self::Closed => "resource is not for clients of this kind",
            Self::Missing => "resource is required",
        }
    }
}

impl Resources {
    pub(crate) const fn new(all: Vec<Arc<Resource>>, fallback: Lifetimes) -> Self {
        Self { all, fallback }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.all.iter()
    }

    /// The resource with a canonical URL, if it is still configured.
    pub(crate) fn get(&self, url: &str) -> Option<&Arc<Resource>> {
        self.all.iter().find(|resource| resource.url() == url)
    }

    /// What the `resource` parameters of a client of this origin name, each once. All of them must be known, and open to
    /// the client (RFC 8707 §2).
    pub(crate) fn named<'a>(
        &self,
        requested: impl Iterator<Item = &'a str>,
        origin: &Origin,
    ) -> Result<Vec<&Arc<Resource>>, NoTarget> {
        let mut named: Vec<&Arc<Resource>> = Vec::new();
        for text in requested {
            let Some(resource) = self.all.iter().find(|resource| resource.is_named_by(text)) else {
                // the client gets no list of what there is; the operator, who has to mend one of the two, does
                let known: Vec<_> = self.all.iter().map(|resource| resource.url()).collect();
                let asked: String = text.chars().take(200).collect();
                tracing::info!(?asked, ?known, "a resource was asked for that is not configured");
                return Err(NoTarget::Unknown);
            };
            if !resource.terms().open_to.includes(origin) {
                return Err(NoTarget::Closed);
            }
            if !named.iter().any(|other| other.url() == resource.url()) {
                named.push(resource);
            }
        }
        Ok(named)
    }

    /// As [`named`](Self::named), never empty: where nothing is named, the default is meant, or the only one there is.
    pub(crate) fn targets<'a>(
        &self,
        requested: impl Iterator<Item = &'a str>,
        origin: &Origin,
    ) -> Result<Vec<&Arc<Resource>>, NoTarget> {
        let named = self.named(requested, origin)?;
        if !named.is_empty() {
            return Ok(named);
        }
        let meant = match self.all.as_slice() {
            [only] => Some(only),
            several => several.iter().find(|resource| resource.terms().is_default),
        };
        meant
            .filter(|resource| resource.terms().open_to.includes(origin))
            .map(|resource| vec![resource])
            .ok_or(NoTarget::Missing)
    }

    /// The lifetimes of a grant for several resources: none of them lets it live longer than it would alone.
    pub(crate) fn lifetimes(&self, urls: &[String]) -> Lifetimes {
        let each = urls.iter().filter_map(|url| self.get(url)).map(|resource| resource.lifetimes());
        each.reduce(|one, other| Lifetimes {
            access: one.access.min(other.access),
            refresh_idle: one.refresh_idle.min(other.refresh_idle),
            refresh_max: one.refresh_max.min(other.refresh_max),
        })
        .unwrap_or(self.fallback)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::resource::{OpenTo, Terms, tests::terms},
        *,
    };
    use crate::catalogue::ScopeCatalogue;

    const A: &str = "https://gw.test/a";
    const B: &str = "https://gw.test/b";

    fn resources(all: Vec<Terms>) -> Resources {
        let all: Vec<_> =
            all.into_iter().map(|terms| Arc::new(Resource::new(terms, ScopeCatalogue::default()))).collect();
        Resources::new(all, terms(A).lifetimes)
    }

    fn urls(found: Result<Vec<&Arc<Resource>>, NoTarget>) -> Result<Vec<String>, NoTarget> {
        found.map(|found| found.iter().map(|resource| resource.url().to_owned()).collect())
    }

    fn origins() -> [Origin; 3] {
        [Origin::Administrator, Origin::Document { host: "a.test".to_owned() }, Origin::Registration]
    }

    #[test]
    fn one_unknown_resource_among_known_ones_refuses_all() {
        let all = resources(vec![terms(A)]);
        let origin = Origin::Registration;
        assert_eq!(urls(all.named([A, B].into_iter(), &origin)), Err(NoTarget::Unknown));
        assert_eq!(urls(all.named([A, A].into_iter(), &origin)), Ok(vec![A.to_owned()]));
    }

    #[test]
    fn nothing_named_means_the_default_or_the_only_one() {
        let default = || Terms { is_default: true, ..terms(B) };
        let none = std::iter::empty::<&str>;
        for (all, meant) in [
            (vec![terms(A)], Ok(A)),
            (vec![terms(A), default()], Ok(B)),
            (vec![terms(A), terms(B)], Err(NoTarget::Missing)),
        ] {
            let meant = meant.map(|url| vec![url.to_owned()]);
            assert_eq!(urls(resources(all).targets(none(), &Origin::Registration)), meant);
        }
    }

    #[test]
    fn a_resource_is_for_the_kinds_of_clients_that_it_is_open_to() {
        let nobody = OpenTo { administrator: false, document: false, registration: false };
        let kinds = [
            OpenTo { administrator: true, ..nobody },
            OpenTo { document: true, ..nobody },
            OpenTo { registration: true, ..nobody },
        ];
        for (open, open_to) in kinds.into_iter().enumerate() {
            let all = resources(vec![terms(A), Terms { open_to, is_default: true, ..terms(B) }]);
            for (asks, origin) in origins().iter().enumerate() {
                let (named, meant) = if open == asks {
                    (Ok(vec![B.to_owned()]), Ok(vec![B.to_owned()]))
                } else {
                    (Err(NoTarget::Closed), Err(NoTarget::Missing))
                };
                assert_eq!(urls(all.named([B].into_iter(), origin)), named, "{open} {asks}");
                assert_eq!(urls(all.targets(std::iter::empty(), origin)), meant, "{open} {asks}");
                assert_eq!(urls(all.named([A].into_iter(), origin)), Ok(vec![A.to_owned()]));
            }
        }
    }

    #[test]
    fn a_grant_for_several_resources_lives_as_short_as_for_each() {
        let other = Lifetimes { access: 60, refresh_idle: 999_999, refresh_max: 100 };
        let all = resources(vec![terms(A), Terms { lifetimes: other, ..terms(B) }]);
        let both = all.lifetimes(&[A.to_owned(), B.to_owned()]);
        assert_eq!(
            both,
            Lifetimes { access: 60, refresh_idle: terms(A).lifetimes.refresh_idle, refresh_max: 100 }
        );
        assert_eq!(all.lifetimes(&[B.to_owned()]), other);
        assert_eq!(all.lifetimes(&["https://gone.test/".to_owned()]), terms(A).lifetimes);
    }
}
