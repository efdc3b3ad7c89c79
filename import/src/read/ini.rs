//! Sections of names with values, as Python's configparser and AWS's tools read them. An own reader: it gives lines, and
//! leaves no copies of values.

/// A section: `[name]` and what follows.
pub(crate) struct Section<'a> {
    pub(crate) name: &'a str,
    pub(crate) settings: Vec<Setting<'a>>,
}

/// `name = value` or `name: value`.
pub(crate) struct Setting<'a> {
    pub(crate) line: usize,
    /// In lower case, in which names are compared.
    pub(crate) name: String,
    pub(crate) value: &'a str,
    /// Whether lines follow that are indented and so belong to it.
    pub(crate) goes_on: bool,
}

/// The sections of a file; or the first line that is none of it.
pub(crate) fn read(text: &str) -> Result<Vec<Section<'_>>, (usize, &'static str)> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    for (at, raw) in text.lines().enumerate() {
        let line = at + 1;
        let trimmed = raw.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        let is_indented = raw.starts_with([' ', '\t']);
        if is_indented
            && let Some(setting) = sections.last_mut().and_then(|section| section.settings.last_mut())
        {
            setting.goes_on = true;
            continue;
        }
        if let Some(rest) = trimmed.strip_prefix('[') {
            let (name, after) = rest.split_once(']').ok_or((line, "a section's name is not closed by ]"))?;
            if !(after.trim().is_empty() || after.trim_start().starts_with(['#', ';'])) {
                return Err((line, "something follows a section's name"));
            }
            sections.push(Section { name: name.trim(), settings: Vec::new() });
            continue;
        }
        let section =
            sections.last_mut().ok_or((line, "no section, such as [default], is above this line"))?;
        let end = trimmed.find(['=', ':']).ok_or((line, "no = after the name"))?;
        let (name, value) = trimmed.split_at_checked(end).ok_or((line, "no = after the name"))?;
        section.settings.push(Setting {
            line,
            name: name.trim().to_ascii_lowercase(),
            value: value.get(1..).unwrap_or_default().trim(),
            goes_on: false,
        });
    }
    Ok(sections)
}
