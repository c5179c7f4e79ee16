//! How examples are spread over clients.

/// Clients by their number of examples.
#[derive(Clone, Debug, PartialEq)]
pub struct SizeSummary {
    /// Number of clients.
    pub clients: usize,
    /// Examples of all clients.
    pub examples: usize,
    /// Fewest examples of a client.
    pub min: usize,
    /// Half of the clients have at most so many.
    pub median: usize,
    /// Examples a client.
    pub mean: f64,
    /// Most examples of a client.
    pub max: usize,
    /// The histogram, from the smallest clients to the largest.
    pub bins: Vec<Bin>,
}

/// Clients with about the same number of examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bin {
    /// Fewest examples of a client in this bin.
    pub from: usize,
    /// Most examples of a client in this bin.
    pub to: usize,
    /// Number of clients.
    pub clients: usize,
}

impl SizeSummary {
    /// Counts clients in at most `bins` bins of equal width (the last may reach past the largest).
    ///
    /// # Examples
    /// ```
    /// use fed_data::SizeSummary;
    ///
    /// let summary = SizeSummary::new([3, 1, 2, 9], 3);
    /// assert_eq!((summary.min, summary.median, summary.max), (1, 2, 9));
    /// let clients: Vec<usize> = summary.bins.iter().map(|bin| bin.clients).collect();
    /// assert_eq!(clients, [3, 0, 1]);
    /// ```
    #[must_use]
    pub fn new(sizes: impl IntoIterator<Item = usize>, bins: usize) -> Self {
        let mut sizes: Vec<usize> = sizes.into_iter().collect();
        sizes.sort_unstable();
        let (clients, examples) = (sizes.len(), sizes.iter().sum());
        let (min, max) =
            (sizes.first().copied().unwrap_or_default(), sizes.last().copied().unwrap_or_default());
        let width = (max - min + 1).div_ceil(bins.max(1)).max(1);
        let bins = (min..=max)
            .step_by(width)
            .map(|from| Bin {
                from,
                to: from + width - 1,
                clients: sizes.partition_point(|&size| size < from + width)
                    - sizes.partition_point(|&size| size < from),
            })
            .collect();
        Self {
            clients,
            examples,
            min,
            median: sizes.get(clients.saturating_sub(1) / 2).copied().unwrap_or_default(),
            mean: examples as f64 / clients.max(1) as f64,
            max,
            bins,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_is_in_one_bin() {
        for bins in 1..20 {
            let sizes = [5, 5, 17, 40, 41, 1];
            let summary = SizeSummary::new(sizes, bins);
            assert!(summary.bins.len() <= bins, "{bins}: {summary:?}");
            assert_eq!(summary.bins.iter().map(|bin| bin.clients).sum::<usize>(), 6);
            assert_eq!(summary.examples, 109);
        }
        assert_eq!(SizeSummary::new([], 5).clients, 0);
    }
}
