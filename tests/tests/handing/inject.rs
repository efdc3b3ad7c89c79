//! `inject`: what is in the template stays, what is named is filled in, and a fault leaves everything as it was.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use secretsd_tests::{Env, programs};

use crate::{awkward, store_all};

#[test]
fn every_byte_of_template_and_values_is_kept() {
    let env = Env::unlocked(programs!());
    let mut template = b"\xff\xfe\x00 {{ not.ours }} ${{ x }} \r\n".to_vec();
    let mut expected = template.clone();
    for (name, value) in store_all(&env, &awkward()) {
        let lower = name.to_lowercase();
        template.extend_from_slice(format!("{{{{secret:{name}}}}}").as_bytes());
        template.push(0xe9);
        template.extend_from_slice(format!("{{{{ secret:{lower} }}}}\r").as_bytes());
        expected.extend_from_slice(value.as_bytes());
        expected.push(0xe9);
        expected.extend_from_slice(format!("{value}\r").as_bytes());
    }
    let input = env.private_file("template", &template);
    let output = env.path("out");
    env.ctl(["inject", "-i", input.to_str().unwrap(), "-o", output.to_str().unwrap()]).expect(0);
    assert!(fs::read(&output).unwrap() == expected, "other bytes");
    assert_eq!(fs::metadata(&output).unwrap().permissions().mode() & 0o7777, 0o600);
    let piped = env.ctl(["inject"]).stdin(&template).run();
    assert!(piped.stdout == expected, "other bytes in the pipe");
}

#[test]
fn a_template_without_placeholders_needs_no_vault() {
    let env = Env::started(programs!());
    for plain in [&b""[..], b"\xff{{ x }}\n", b"no newline"] {
        assert_eq!(env.ctl(["inject", "-i", "-", "-o", "-"]).stdin(plain).run().stdout, plain);
    }
}

#[test]
fn all_problems_are_told_at_once_with_their_lines_and_nothing_is_written() {
    let env = Env::unlocked(programs!());
    env.store("A", "canary-value");
    let template = "{{ secret:A }}\n{{ secret:NONE }}{{ secret:none }}\n{{ secret:A-canary }}\n\n{{ secret:GONE\n{{ secret:NONE }}\n";
    let input = env.private_file("template", template);
    let output = env.private_file("out", "before");
    let arguments = ["inject", "-i", input.to_str().unwrap(), "-o", output.to_str().unwrap()];
    let before = fs::metadata(&output).unwrap().ino();
    let run = env.ctl(arguments).run();
    run.assert_code(7);
    let told: Vec<String> = run.err().lines().map(str::to_owned).collect();
    for (line, text) in [(2, "NONE"), (3, "the name in a placeholder"), (5, "}}"), (6, "NONE")] {
        let begin = format!("secretctl: line {line}: ");
        assert!(told.iter().any(|told| told.starts_with(&begin) && told.contains(text)), "{told:?}");
    }
    assert_eq!(told.len(), 5, "{told:?}");
    assert!(!run.err().contains("canary"));
    assert_eq!(fs::read(&output).unwrap(), b"before");

    fs::write(&input, "{{ secret:A }}\n{{ secret:NONE }}{{secret:GONE}}\n").unwrap();
    let run = env.ctl(arguments).run();
    run.assert_code(4);
    assert!(
        run.err().contains("line 2: no such secret: GONE")
            && run.err().contains("line 2: no such secret: NONE")
    );
    assert_eq!(
        (fs::read(&output).unwrap(), fs::metadata(&output).unwrap().ino()),
        (b"before".to_vec(), before)
    );
    assert_eq!(
        fs::read_dir(env.path(""))
            .unwrap()
            .filter(|e| e.as_ref().unwrap().file_name().to_str().unwrap().starts_with(".out"))
            .count(),
        0
    );

    env.ctl(["lock"]).expect(0);
    env.ctl(arguments).expect(3);
    assert_eq!(fs::read(&output).unwrap(), b"before");
}

#[test]
fn the_output_replaces_neither_the_template_nor_what_is_no_file() {
    let env = Env::unlocked(programs!());
    env.store("A", "x");
    let input = env.private_file("template", "{{ secret:A }}");
    let input = input.to_str().unwrap();
    env.ctl(["inject", "-i", input, "-o", input]).expect(1);
    env.ctl(["inject", "-i", input, "-o", "./template"]).expect(1);
    env.ctl(["inject", "-i", input, "-o", env.path("run").to_str().unwrap()]).expect(1);
    env.ctl(["inject", "-i", input, "-o", "none/out"]).expect(1);
    assert_eq!(fs::read(input).unwrap(), b"{{ secret:A }}");
    // As /dev/stdout is one, for which all programs of the machine would find a file with a value.
    let link = env.path("link");
    std::os::unix::fs::symlink("/proc/self/fd/1", &link).unwrap();
    let output = env.ctl(["inject", "-i", input, "-o", link.to_str().unwrap()]).run();
    output.assert_code(1);
    assert!(output.err().contains("symbolic link"), "{}", output.err());
    assert!(link.is_symlink());
}

#[test]
fn a_line_end_that_a_value_brings_into_a_line_is_told() {
    let env = Env::unlocked(programs!());
    env.store("A", "canary\n");
    env.store("B", "canary");
    let said = |template: &str, more: &[&str]| {
        let output = env.ctl([&["inject"], more].concat()).stdin(template).run();
        output.assert_code(0);
        assert!(!output.err().contains("canary"), "{}", output.err());
        output.err()
    };
    let header = "X: 1\nAuthorization: Bearer {{ secret:A }}\r\n";
    assert_eq!(
        said(header, &[]),
        "secretctl: line 2: A ends with a line break, which breaks this line too\n"
    );
    assert_eq!(said("x={{ secret:B }}\n{{ secret:A }}\n{{ secret:A }}", &[]), "");
    assert_eq!(said("A={{ secret:A }}\n", &["--shell"]), "");
}
