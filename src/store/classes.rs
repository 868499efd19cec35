//! The sizes that cells come in.

use super::pool::RUN_BYTES;

/// Bytes of the largest cell.
pub(super) const CELL_BYTES_MAX: usize = 2048;
/// What cells are multiples of. In units of 4 bytes a handle of 32 bits reaches 16 GiB.
pub(super) const UNIT: usize = 4;
/// Up to here sizes are 4 bytes apart, and up to here 8; from there on cells fill a run without rest, 5 to 10 % apart.
/// An entry of 30 to 600 bytes takes 2 bytes less than with steps of 8 up to 256.
const FINE_MAX: usize = 192;
const MIDDLE_MAX: usize = 512;
/// Sizes.
pub(super) const CLASSES: usize = 104;
/// Bytes of the cells of each class.
pub(super) const CELL_BYTES: [u16; CLASSES] = cell_bytes();
/// The class of a cell by its size in units.
pub(super) const CLASS_OF: [u8; CELL_BYTES_MAX / UNIT + 1] = class_of();

const fn cell_bytes() -> [u16; CLASSES] {
    let mut sizes = [0; CLASSES];
    let (mut class, mut size) = (0, 24);
    while size <= MIDDLE_MAX {
        sizes[class] = size as u16;
        class += 1;
        size += if size < FINE_MAX { UNIT } else { 2 * UNIT };
    }
    let per_run =
        [30, 28, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8];
    let mut at = 0;
    while class < CLASSES {
        sizes[class] = (RUN_BYTES / per_run[at] / UNIT * UNIT) as u16;
        class += 1;
        at += 1;
    }
    sizes
}

const fn class_of() -> [u8; CELL_BYTES_MAX / UNIT + 1] {
    let mut classes = [0; CELL_BYTES_MAX / UNIT + 1];
    let (mut units, mut class) = (0, 0);
    while units < classes.len() {
        if units * UNIT > CELL_BYTES[class] as usize {
            class += 1;
        }
        classes[units] = class as u8;
        units += 1;
    }
    classes
}

/// Bytes that a cell for `size` bytes takes; `size` is at most [`CELL_BYTES_MAX`].
pub(super) fn cell_size(size: usize) -> usize {
    usize::from(CELL_BYTES[usize::from(CLASS_OF[size.div_ceil(UNIT)])])
}

/// Cells of a class in a run.
pub(super) fn per_run(class: usize) -> u32 {
    RUN_BYTES as u32 / u32::from(CELL_BYTES[class])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_waste_little() {
        for size in 17..=CELL_BYTES_MAX {
            let cell = cell_size(size);
            assert!(cell >= size && cell.is_multiple_of(UNIT));
            assert!(cell - size < 8.max(size / 7), "{cell} for {size}");
            assert!(!(24..=FINE_MAX).contains(&size) || cell - size < UNIT, "{cell} for {size}");
        }
        for &cell in &CELL_BYTES {
            assert!(RUN_BYTES % usize::from(cell) <= RUN_BYTES / 32, "{cell}");
        }
    }
}
