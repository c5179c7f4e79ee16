//! Pictures of some clients, side by side.

use crate::error::DataError;
use crate::federated::FederatedData;

/// Grey between pictures that are missing.
const EMPTY: u8 = 224;

/// A PNG with one row a client: up to `columns` of its pictures, ordered by class, in 8-bit grey.
///
/// Pictures have the square side that the data's width has; what is missing is grey. Every pixel
/// is `scale` by `scale` large.
///
/// # Errors
/// [`DataError::Parameter`] if there is nothing to show, if an example is no square picture, if a
/// client does not exist, or if the sheet would pass 100 million pixels.
///
/// # Examples
/// ```
/// use fed_data::{SyntheticWriters, contact_sheet::contact_sheet};
///
/// let writers = SyntheticWriters { seed: 0, clients: 3 }.dataset()?;
/// let png = contact_sheet(&writers.train, &[0, 1, 2], 20, 2)?;
/// assert!(png.starts_with(b"\x89PNG"));
/// # Ok::<(), fed_data::DataError>(())
/// ```
pub fn contact_sheet(
    data: &dyn FederatedData,
    clients: &[usize],
    columns: usize,
    scale: usize,
) -> Result<Vec<u8>, DataError> {
    let parameter =
        |parameter, value: String, range| DataError::Parameter { parameter, value, range };
    let side = data.width().isqrt();
    if side * side != data.width() || side == 0 {
        let value = data.width().to_string();
        return Err(parameter("width", value, "a square number, to be shown as pictures"));
    }
    if clients.is_empty() || columns == 0 || scale == 0 {
        let value = format!("{} x {columns} x {scale}", clients.len());
        return Err(parameter("clients x columns x scale", value, "at least one of each"));
    }
    if let Some(client) = clients.iter().find(|&&client| client >= data.num_clients()) {
        let value = client.to_string();
        return Err(parameter("client", value, "below the number of clients"));
    }
    let (width, height) = (columns * side * scale, clients.len() * side * scale);
    if width.saturating_mul(height) > 100_000_000 {
        let value = format!("{width} x {height} pixels");
        return Err(parameter("size of the sheet", value, "at most 100 million pixels"));
    }

    let mut sheet = vec![EMPTY; width * height];
    let mut picture = vec![0.0; data.width()];
    for (row, &client) in clients.iter().enumerate() {
        let examples = data.client(client);
        let mut order: Vec<usize> = (0..examples.len()).collect();
        order.sort_by_key(|&example| examples.labels()[example]);
        // Evenly spaced over the classes rather than only the first ones.
        let shown = order.len().min(columns);
        for column in 0..shown {
            examples.copy_row(order[column * order.len() / shown], &mut picture);
            for (pixel, &value) in picture.iter().enumerate() {
                let grey = (value.clamp(0.0, 1.0) * 255.0).round() as u8;
                let (x, y) =
                    ((column * side + pixel % side) * scale, (row * side + pixel / side) * scale);
                for line in y..y + scale {
                    sheet[line * width + x..][..scale].fill(grey);
                }
            }
        }
    }

    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(&sheet))
        .expect("a grey picture of the stated size can be written to memory");
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Examples, Split};

    #[test]
    fn the_sheet_shows_the_pixels_in_class_order() {
        let one = Examples::from_bytes(vec![10, 20, 30, 40, 50, 60, 70, 80], vec![1, 0], 4);
        let split = Split::from_clients([("a", one)], 2).expect("a split");
        let file = contact_sheet(&split, &[0], 3, 1).expect("a sheet");
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().expect("a PNG");
        let mut pixels = vec![0; reader.output_buffer_size().expect("small")];
        let info = reader.next_frame(&mut pixels).expect("a frame");
        assert_eq!((info.width, info.height), (6, 2));
        assert_eq!(pixels, [50, 60, 10, 20, EMPTY, EMPTY, 70, 80, 30, 40, EMPTY, EMPTY]);
    }

    #[test]
    fn what_cannot_be_shown_is_refused() {
        let one = Examples::from_bytes(vec![0; 3], vec![0], 3);
        let split = Split::from_clients([("a", one)], 2).expect("a split");
        let error = |split, clients, columns| {
            contact_sheet(split, clients, columns, 1).expect_err("refused").to_string()
        };
        assert!(error(&split, &[0], 1).contains("square"));
        let square = Split::from_clients([("a", Examples::from_bytes(vec![0; 4], vec![0], 4))], 2)
            .expect("a split");
        assert!(error(&square, &[7], 1).contains("client = 7"));
        assert!(error(&square, &[0], 0).contains("at least one"));
        assert!(error(&square, &[0], usize::MAX / 64).contains("100 million"));
    }
}
