//! Which endpoint of a version takes a request.
//!
//! When no endpoint is available the choice falls on any of them: most likely our idea of their
//! health is wrong, and a try that fails costs no more than a refusal. Endpoints tried before for
//! the same request are never chosen again.

use std::hash::Hasher as _;

use gnomon_config::model::{Balance, Endpoint};
use siphasher::sip::SipHasher24;

use crate::luck::{Luck, below};

/// What choosing needs to know about an endpoint.
pub trait View {
    /// Exchanges under way, as far as the caller knows.
    fn in_flight(&self) -> u32;
    /// Whether it is neither ejected nor found unhealthy.
    fn available(&self) -> bool;
    /// A number that stays the same as long as the address does: [`seed`].
    fn seed(&self) -> u64;
}

impl<V: View> View for std::rc::Rc<V> {
    fn in_flight(&self) -> u32 {
        V::in_flight(self)
    }

    fn available(&self) -> bool {
        V::available(self)
    }

    fn seed(&self) -> u64 {
        V::seed(self)
    }
}

/// What one choice depends on besides the endpoints.
#[derive(Clone, Copy, Debug)]
pub struct Pick<'a> {
    /// How to choose.
    pub balance: &'a Balance,
    /// Hash of the balance key, from the plan; without it [`Balance::Hash`] is as
    /// [`Balance::P2c`].
    pub key: Option<u64>,
    /// Endpoints tried before for this request, by index.
    pub tried: &'a [usize],
}

/// Chooses an endpoint that was not tried before; `None` if all were. `cursor` is where taking
/// turns stands, kept by the caller per version and core.
#[must_use]
pub fn choose<V: View>(
    endpoints: &[V],
    pick: &Pick<'_>,
    cursor: &mut usize,
    luck: &mut Luck,
) -> Option<usize> {
    let untried = |index: usize| !pick.tried.contains(&index);
    let healthy = |index: usize| endpoints[index].available() && untried(index);
    choose_among(endpoints, pick, cursor, luck, &healthy)
        .or_else(|| choose_among(endpoints, pick, cursor, luck, &untried))
}

/// A stable number for an endpoint's address, so that adding one endpoint moves only the keys
/// that it takes over.
#[must_use]
pub fn seed(endpoint: &Endpoint) -> u64 {
    let mut hasher = SipHasher24::new_with_keys(0, 0);
    match endpoint {
        Endpoint::Tcp(address) => {
            hasher.write(address.to_string().as_bytes());
        }
        Endpoint::Name(name, port) => {
            hasher.write(name.as_bytes());
            hasher.write(&port.to_le_bytes());
        }
        Endpoint::Unix(path) => hasher.write(path.as_os_str().as_encoded_bytes()),
    }
    hasher.finish()
}

fn choose_among<V: View>(
    endpoints: &[V],
    pick: &Pick<'_>,
    cursor: &mut usize,
    luck: &mut Luck,
    fit: &impl Fn(usize) -> bool,
) -> Option<usize> {
    match (pick.balance, pick.key) {
        (Balance::P2c, _) | (Balance::Hash(_), None) => less_loaded(endpoints, luck, fit),
        (Balance::RoundRobin, _) => in_turn(endpoints.len(), cursor, fit),
        (Balance::LeastConn, _) => least_loaded(endpoints, luck, fit),
        (Balance::Hash(_), Some(key)) => by_rendezvous(endpoints, key, fit),
    }
}

/// The power of two choices: the less loaded of two distinct endpoints, both from one draw.
///
/// Two draws over all endpoints nearly always hit fitting ones; only otherwise are those counted
/// and drawn from anew, which leaves every fitting pair as likely as any other.
fn less_loaded<V: View>(
    endpoints: &[V],
    luck: &mut Luck,
    fit: &impl Fn(usize) -> bool,
) -> Option<usize> {
    let less = |(first, second): (usize, usize)| {
        let second_wins = endpoints[second].in_flight() < endpoints[first].in_flight();
        if second_wins { second } else { first }
    };
    let drawn = two(endpoints.len(), luck).filter(|&(first, second)| fit(first) && fit(second));
    if let Some(pair) = drawn {
        return Some(less(pair));
    }
    let fitting = (0..endpoints.len()).filter(|&index| fit(index)).count();
    let Some((first, second)) = two(fitting, luck) else { return nth(endpoints.len(), 0, fit) };
    Some(less((nth(endpoints.len(), first, fit)?, nth(endpoints.len(), second, fit)?)))
}

/// Two distinct numbers below `bound`, every ordered pair as likely; `None` below two.
fn two(bound: usize, luck: &mut Luck) -> Option<(usize, usize)> {
    if bound < 2 {
        return None;
    }
    let draw = luck.draw();
    let first = scale(draw >> 32, bound);
    let step = 1 + scale(draw & u64::from(u32::MAX), bound - 1);
    Some((first, (first + step) % bound))
}

fn in_turn(endpoints: usize, cursor: &mut usize, fit: &impl Fn(usize) -> bool) -> Option<usize> {
    let start = cursor.checked_rem(endpoints)?;
    let chosen = (start..endpoints).chain(0..start).find(|&index| fit(index))?;
    *cursor = chosen + 1;
    Some(chosen)
}

/// The least loaded; among equals by draw, as cores that all knew the same minimum would else
/// crowd on the first. Of more than [`LOOKS_MAX`] the least loaded of so many neighbours, anywhere.
fn least_loaded<V: View>(
    endpoints: &[V],
    luck: &mut Luck,
    fit: &impl Fn(usize) -> bool,
) -> Option<usize> {
    let draw = luck.draw();
    let start = scale(draw & u64::from(u32::MAX), endpoints.len());
    let turned = (start..endpoints.len()).chain(0..start);
    let (mut lightest, mut equals, mut least) = ([0; LOOKS_MAX], 0, u32::MAX);
    for index in turned.filter(|&index| fit(index)).take(LOOKS_MAX) {
        let in_flight = endpoints[index].in_flight();
        if in_flight < least {
            (least, equals) = (in_flight, 0);
        }
        if in_flight == least {
            lightest[equals] = index;
            equals += 1;
        }
    }
    lightest[..equals].get(scale(draw >> 32, equals)).copied()
}

/// Highest random weight (Thaler, Ravishankar 1996).
fn by_rendezvous<V: View>(
    endpoints: &[V],
    key: u64,
    fit: &impl Fn(usize) -> bool,
) -> Option<usize> {
    (0..endpoints.len())
        .filter(|&index| fit(index))
        .max_by_key(|&index| mix(key ^ endpoints[index].seed()))
}

/// The `place`-th fitting index.
fn nth(endpoints: usize, place: usize, fit: &impl Fn(usize) -> bool) -> Option<usize> {
    (0..endpoints).filter(|&index| fit(index)).nth(place)
}

/// Maps 32 uniform bits onto `0..bound`.
#[expect(clippy::cast_possible_truncation, reason = "below `bound`")]
fn scale(bits: u64, bound: usize) -> usize {
    below(bits << 32, bound as u64) as usize
}

/// Endpoints that one choice of the least loaded looks at, so that it costs the same however many
/// there are: 32 drawn from any number miss the lightest tenth once in thirty times, and the
/// lightest fifth once in 1,300.
const LOOKS_MAX: usize = 32;

/// The finaliser of `SplitMix64`: every bit of the input moves every bit of the output.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests;
