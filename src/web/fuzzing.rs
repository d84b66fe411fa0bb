//! Entry points of the fuzz targets in `fuzz/`.

use super::form::Fields;

/// Returns the value of a field of a form, or `None` if the form is rejected.
pub fn form_field(form: &[u8], name: &str) -> Option<String> {
    Fields::parse(form).ok().map(|mut fields| fields.take(name))
}
