//! [`Counts`]: counters that are looked up once, because to find one by its labels costs more than what it counts.

#[cfg(all(test, feature = "metrics"))]
pub(crate) mod recorder;

/// How often each of some outcomes came, as one counter each with the label `result`. Without the feature `metrics`,
/// nothing counts.
#[derive(Debug)]
pub(crate) struct Counts<const N: usize> {
    name: &'static str,
    /// A label more, and its value: nothing out of a request.
    of: Option<(&'static str, Box<str>)>,
    results: [&'static str; N],
    #[cfg(feature = "metrics")]
    kept: [std::sync::OnceLock<metrics::Counter>; N],
}

impl<const N: usize> Counts<N> {
    pub(crate) fn new(
        name: &'static str,
        of: Option<(&'static str, Box<str>)>,
        results: [&'static str; N],
    ) -> Self {
        Self {
            name,
            of,
            results,
            #[cfg(feature = "metrics")]
            kept: [const { std::sync::OnceLock::new() }; N],
        }
    }

    /// Counts one; `result` is the place of its outcome among the results.
    #[cfg(feature = "metrics")]
    pub(crate) fn count(&self, result: usize) {
        let (Some(kept), Some(said)) = (self.kept.get(result), self.results.get(result)) else { return };
        let counter = kept.get_or_init(|| {
            let of = self.of.iter().map(|(label, value)| (*label, value.to_string()));
            let labels: Vec<_> = of.chain([("result", (*said).to_owned())]).collect();
            metrics::counter!(self.name, &labels)
        });
        counter.increment(1);
    }

    #[cfg(not(feature = "metrics"))]
    pub(crate) fn count(&self, _: usize) {
        let _ = (self.name, &self.of, &self.results);
    }
}
