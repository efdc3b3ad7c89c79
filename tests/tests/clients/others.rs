//! Clients of other languages.

use crate::client::{bore, has, says, world};

/// Has this command ask for the URL of an echo, which comes behind it.
#[track_caller]
fn echoes(test: &str, command: &[&str]) {
    let Some(world) = world(test, &["bearer"]) else { return };
    let url = world.url("/v1/echo");
    says(&world, &[], &[command, &[&url]].concat(), "200 {\"body\":");
    bore(&world, 1);
}

#[test]
fn ruby() {
    let test = "others::ruby";
    if has(test, &["ruby", "-rnet/http", "-e", ""]) {
        let code = "
uri = URI(ARGV[0])
answer = Net::HTTP.get_response(uri, {'Authorization' => 'Bearer ' + ENV['KEY']})
puts answer.code + ' ' + answer.body";
        // It looks the name up and goes straight to what is on the loopback, as no real host is.
        let elsewhere =
            "echo 192.0.2.1 api.host.test > elsewhere && mount --bind elsewhere /etc/hosts && exec \"$@\"";
        let command = ["unshare", "--mount", "sh", "-c", elsewhere, "sh", "ruby", "-rnet/http", "-e", code];
        echoes(test, &command);
    }
}

#[test]
fn php() {
    let test = "others::php";
    if has(test, &["php", "-r", "exit(function_exists('curl_init') ? 0 : 1);"]) {
        let code = "
$curl = curl_init($argv[1]);
curl_setopt($curl, CURLOPT_HTTPHEADER, ['Authorization: Bearer ' . getenv('KEY')]);
curl_setopt($curl, CURLOPT_RETURNTRANSFER, true);
$answer = curl_exec($curl);
echo curl_getinfo($curl, CURLINFO_RESPONSE_CODE), ' ', $answer, curl_error($curl);";
        echoes(test, &["php", "-r", code]);
    }
}

#[test]
fn perl() {
    let test = "others::perl";
    if has(test, &["perl", "-MLWP::UserAgent", "-MLWP::Protocol::https", "-e", "1"]) {
        let code = "
my $answer = LWP::UserAgent->new->get($ARGV[0], Authorization => \"Bearer $ENV{KEY}\");
print $answer->code, ' ', $answer->content;";
        echoes(test, &["perl", "-MLWP::UserAgent", "-e", code]);
    }
}

/// Java reads no variable for the proxy; the options that it is told are those of docs/clients.md.
#[test]
fn java_with_options() {
    let test = "others::java_with_options";
    if !has(test, &["sh", "-c", "java --list-modules | grep -q jdk.compiler && keytool -help 2>&1"]) {
        return;
    }
    let Some(world) = world(test, &["bearer"]) else { return };
    let code = "
import java.net.URI;
import java.net.http.*;
class Ask {
    public static void main(String[] arguments) throws Exception {
        var request = HttpRequest.newBuilder(URI.create(arguments[0]))
            .header(\"Authorization\", \"Bearer \" + System.getenv(\"KEY\")).build();
        var answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        System.out.println(answer.statusCode() + \" \" + answer.body());
    }
}";
    world.env.private_file("Ask.java", code);
    let url = world.url("/v1/echo");
    let text = std::fs::read_to_string(secretsd_tests::source::repository().join("docs/clients.md")).unwrap();
    let (_, recipe) = text.split_once("\n```sh\n").unwrap();
    let (recipe, _) = recipe.split_once("\n```").unwrap();
    let code = format!("{recipe}\nexec java Ask.java {url}");
    says(&world, &[], &["bash", "-c", &code], "200 {\"body\":");
    bore(&world, 1);
}
