//! What an answer consists of beside its header.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

/// Bytes that are handed over at once. The connection copies them behind the header, so this is what a client that does
/// not read can make it hold.
const PIECE: usize = 8 * 1024;

/// The body of every answer: known whole, shared with the snapshot where it is long, handed over in pieces.
#[derive(Debug, Default)]
pub struct Body(Bytes);

impl Body {
    /// A body of these bytes.
    pub fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = self.0.len().min(PIECE);
        Poll::Ready((length > 0).then(|| Ok(Frame::data(self.0.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use hyper::body::Body as _;

    use super::*;

    #[tokio::test]
    async fn a_long_body_comes_in_pieces_that_make_it_up_and_an_empty_one_is_over_at_once() {
        let long = Bytes::from((0..3 * PIECE + 1).map(|at| at as u8).collect::<Vec<_>>());
        let mut body = Body::new(long.clone());
        let mut read = Vec::new();
        while let Some(piece) = body.frame().await {
            let piece = piece.unwrap().into_data().unwrap();
            assert!((1..=PIECE).contains(&piece.len()));
            read.extend_from_slice(&piece);
            assert_eq!(body.size_hint().exact(), Some((long.len() - read.len()) as u64));
        }
        assert_eq!(read, long);
        assert!(body.is_end_stream() && Body::default().is_end_stream());
    }
}
