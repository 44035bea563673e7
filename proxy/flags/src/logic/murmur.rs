//! MurmurHash3, x86, 32 bits, seed 0: the hash by which flagd draws.

/// The hash of all `parts`, one after another.
pub(crate) fn murmur3(parts: &[&[u8]]) -> u32 {
    let (mut hash, mut block, mut length) = (0_u32, 0_u32, 0_u32);
    for part in parts {
        for byte in *part {
            block |= u32::from(*byte) << (8 * (length % 4));
            length = length.wrapping_add(1);
            if length.is_multiple_of(4) {
                hash = (hash ^ scramble(block)).rotate_left(13);
                hash = hash.wrapping_mul(5).wrapping_add(0xe654_6b64);
                block = 0;
            }
        }
    }
    hash ^= scramble(block) ^ length;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

fn scramble(block: u32) -> u32 {
    block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_what_is_known_of_it() {
        for (text, expected) in [
            ("", 0),
            ("a", 0x3c25_69b2),
            ("ab", 0x9bbf_d75f),
            ("abc", 0xb3dd_93fa),
            ("test", 0xba6b_d213),
            ("Hello, world!", 0xc036_3e43),
            ("The quick brown fox jumps over the lazy dog", 0x2e4f_f723),
        ] {
            assert_eq!(murmur3(&[text.as_bytes()]), expected, "{text}");
        }
    }

    #[test]
    fn it_does_not_matter_how_the_text_is_cut() {
        let text = b"The quick brown fox jumps over the lazy dog";
        for at in 0..=text.len() {
            let (head, tail) = text.split_at(at);
            assert_eq!(murmur3(&[head, tail]), 0x2e4f_f723, "cut at {at}");
        }
    }
}
