//! Several pieces of evidence about one version, however they depend on each other (F15).

use super::numbers::real_len;

/// Whether all of them together refute: the weighted mean of the evidence, as (evidence, weight).
/// A mean of e-values is one (Vovk and Wang, 1912.06116). 1, no evidence, of nothing.
#[must_use]
pub fn weighted_mean(evidence: impl IntoIterator<Item = (f64, f64)>) -> f64 {
    let (mut sum, mut weights) = (0.0, 0.0);
    for (e, weight) in evidence {
        sum += e * weight;
        weights += weight;
    }
    if weights > 0.0 { sum / weights } else { 1.0 }
}

/// Which of them refute by themselves, after so many were looked at: each one's least mean with any
/// set of others, `min_j (E_k + the j smallest others)/(j+1)` (closed testing).
#[must_use]
pub fn closed(evidence: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..evidence.len()).collect();
    order.sort_by(|a, b| evidence[*a].total_cmp(&evidence[*b]));
    let adjusted = |(own, e): (usize, &f64)| {
        let (mut sum, mut least) = (*e, *e);
        for (j, other) in order.iter().filter(|other| **other != own).enumerate() {
            sum += evidence[*other];
            least = least.min(sum / real_len(j + 2));
        }
        least
    };
    evidence.iter().enumerate().map(adjusted).collect()
}

/// Which of these logarithms of evidence may be named together, so that of the names at most
/// `alpha` are false: the largest k of which the k-th is at least K/(αk) (e-BH; Wang and Ramdas,
/// 2009.02824).
///
/// All must be among them, those without evidence too. Gives the smallest logarithm that is
/// named; none where nothing is.
#[must_use]
pub fn threshold(log_e: &[f64], alpha: f64) -> Option<f64> {
    let mut sorted = log_e.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let all = real_len(sorted.len());
    let named = |(index, log): &(usize, f64)| *log >= (all / (alpha * real_len(index + 1))).ln();
    sorted.into_iter().enumerate().rfind(named).map(|(_, log)| log)
}
