//! Points of elliptic curves.

use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::rand::SystemRandom;

/// Returns true if the uncompressed point is on the curve P-256. `ring` checks this in a key agreement,
/// which needs no signature. The result of the agreement is dropped.
pub fn is_on_p256(point: &[u8]) -> bool {
    let own = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new());
    let peer = UnparsedPublicKey::new(&ECDH_P256, point);
    own.is_ok_and(|own| agree_ephemeral(own, &peer, |_shared| ()).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_beside_the_curve_is_known() {
        let own = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new()).unwrap();
        let mut point = own.compute_public_key().unwrap().as_ref().to_vec();
        assert!(is_on_p256(&point));
        *point.last_mut().unwrap() ^= 1;
        assert!(!is_on_p256(&point));
        assert!(!is_on_p256(&[]) && !is_on_p256(&[4; 65]) && !is_on_p256(&[0; 65]));
    }
}
