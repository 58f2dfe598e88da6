//! Kafka's text form of a UUID: base64url without padding, 22 characters.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

pub fn encode(id: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(id.as_bytes())
}

/// `None` unless `text` is exactly the form of one UUID.
pub fn decode(text: &str) -> Option<Uuid> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    Uuid::from_slice(&bytes).ok()
}

/// A random one, whose text can be given to tools: they take what begins with a dash for an option.
pub fn fresh() -> Uuid {
    loop {
        let id = Uuid::new_v4();
        if !encode(id).starts_with('-') {
            return id;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_that_is_made_looks_like_an_option() {
        assert!((0..2_000).all(|_| !encode(fresh()).starts_with('-')));
    }

    #[test]
    fn reads_what_kafka_writes() {
        let id = decode("dDjXQ22Blu1v6_kD7I5ykg").unwrap();
        assert_eq!(id.to_string(), "7438d743-6d81-96ed-6feb-f903ec8e7292");
        assert_eq!(encode(id), "dDjXQ22Blu1v6_kD7I5ykg");
        assert_eq!(encode(Uuid::nil()), "AAAAAAAAAAAAAAAAAAAAAA");
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "",
            "dDjXQ22Blu1v6_kD7I5yk",
            "dDjXQ22Blu1v6_kD7I5ykgA",
            "dDjXQ22Blu1v6/kD7I5ykg",
            "dDjXQ22Blu1v6_kD7I5ykg==",
        ] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
