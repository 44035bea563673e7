//! What one client may take: requests in a time, connections, patience with a slow body.
//!
//! The tables here are shared by all cores: a limit that each core kept for itself would let a
//! client that spreads over N cores have N times as much, or hold one that stays on one core to an
//! Nth of it. Both are of fixed size, and nothing in them locks: what is written is one word, and
//! only for what is admitted, so that a flood that is refused reads and writes nothing.

mod buckets;
mod crowd;
mod pace;
mod rates;

use std::net::IpAddr;

pub use buckets::{Buckets, Rule, Taken};
pub use crowd::{Admission, Crowd, Seat};
pub use pace::Pace;
pub use rates::Rates;

/// A key for the hashes of a table: drawn at the start, so that nobody can aim at a collision.
pub type Secret = [u64; 2];

/// A client's address as limits count it: an IPv4 address whole, of IPv6 the /64, since a host has
/// all of that to choose from.
fn counted(address: IpAddr, buffer: &mut [u8; 16]) -> &[u8] {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            buffer[..4].copy_from_slice(&v4.octets());
            &buffer[..4]
        }
        IpAddr::V6(v6) => {
            *buffer = v6.octets();
            &buffer[..8]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_host_is_one_client_and_ipv4_is_itself_however_it_is_written() {
        let of = |text: &str| counted(text.parse().unwrap(), &mut [0; 16]).to_vec();
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.7"), of("192.0.2.7"));
        assert_ne!(of("192.0.2.8"), of("192.0.2.7"));
    }
}
