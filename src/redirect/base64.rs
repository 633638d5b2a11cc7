//! Base64 (RFC 4648 section 4) of a SHA-256. Every redirect carries one, and a general encoder costs four times as much.

/// Two characters each, by the twelve bits that they stand for.
static PAIRS: [[u8; 2]; 4096] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut pairs = [[0; 2]; 4096];
    let mut bits = 0;
    while bits < pairs.len() {
        pairs[bits] = [alphabet[bits >> 6], alphabet[bits & 63]];
        bits += 1;
    }
    pairs
};

/// Writes 32 bytes as 44 characters.
#[inline]
pub fn put_base64(bytes: &[u8; 32], out: &mut Vec<u8>) {
    let mut padded = [0; 40];
    padded[..32].copy_from_slice(bytes);
    let start = out.len();
    out.extend_from_slice(&[b'='; 48]);
    // Six bytes make eight characters.
    for (n, eight) in out[start..].as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let bits = padded[6 * n..].first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
        for (pair, shift) in eight.as_chunks_mut::<2>().0.iter_mut().zip([52, 40, 28, 16]) {
            *pair = PAIRS[(bits >> shift) as usize & 4095];
        }
    }
    out.truncate(start + 44);
    out[start + 43] = b'=';
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn reads_as_a_general_encoder_writes_it(bytes: [u8; 32]) {
            let mut text = Vec::new();
            put_base64(&bytes, &mut text);
            assert_eq!(text, data_encoding::BASE64.encode(&bytes).as_bytes());
        }
    }
}
