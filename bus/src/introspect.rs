//! What an object can do, in the words of `org.freedesktop.DBus.Introspectable`.

use crate::path::{Kept, Object};

const HEAD: &str = "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\" \
\"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n<node>\n";

const EVERYWHERE: &str = r#"<interface name="org.freedesktop.DBus.Peer"><method name="Ping"/><method name="GetMachineId"><arg type="s" direction="out"/></method></interface>
<interface name="org.freedesktop.DBus.Introspectable"><method name="Introspect"><arg type="s" direction="out"/></method></interface>
"#;

const PROPERTIES: &str = r#"<interface name="org.freedesktop.DBus.Properties">
<method name="Get"><arg name="interface" type="s" direction="in"/><arg name="name" type="s" direction="in"/><arg name="value" type="v" direction="out"/></method>
<method name="GetAll"><arg name="interface" type="s" direction="in"/><arg name="values" type="a{sv}" direction="out"/></method>
<method name="Set"><arg name="interface" type="s" direction="in"/><arg name="name" type="s" direction="in"/><arg name="value" type="v" direction="in"/></method>
<signal name="PropertiesChanged"><arg name="interface" type="s"/><arg name="changed" type="a{sv}"/><arg name="invalidated" type="as"/></signal>
</interface>
"#;

const SERVICE: &str = r#"<interface name="org.freedesktop.Secret.Service">
<method name="OpenSession"><arg name="algorithm" type="s" direction="in"/><arg name="input" type="v" direction="in"/><arg name="output" type="v" direction="out"/><arg name="result" type="o" direction="out"/></method>
<method name="CreateCollection"><arg name="properties" type="a{sv}" direction="in"/><arg name="alias" type="s" direction="in"/><arg name="collection" type="o" direction="out"/><arg name="prompt" type="o" direction="out"/></method>
<method name="SearchItems"><arg name="attributes" type="a{ss}" direction="in"/><arg name="unlocked" type="ao" direction="out"/><arg name="locked" type="ao" direction="out"/></method>
<method name="Unlock"><arg name="objects" type="ao" direction="in"/><arg name="unlocked" type="ao" direction="out"/><arg name="prompt" type="o" direction="out"/></method>
<method name="Lock"><arg name="objects" type="ao" direction="in"/><arg name="locked" type="ao" direction="out"/><arg name="prompt" type="o" direction="out"/></method>
<method name="GetSecrets"><arg name="items" type="ao" direction="in"/><arg name="session" type="o" direction="in"/><arg name="secrets" type="a{o(oayays)}" direction="out"/></method>
<method name="ReadAlias"><arg name="name" type="s" direction="in"/><arg name="collection" type="o" direction="out"/></method>
<method name="SetAlias"><arg name="name" type="s" direction="in"/><arg name="collection" type="o" direction="in"/></method>
<property name="Collections" type="ao" access="read"/>
<signal name="CollectionCreated"><arg name="collection" type="o"/></signal>
<signal name="CollectionDeleted"><arg name="collection" type="o"/></signal>
<signal name="CollectionChanged"><arg name="collection" type="o"/></signal>
</interface>
"#;

const COLLECTION: &str = r#"<interface name="org.freedesktop.Secret.Collection">
<method name="Delete"><arg name="prompt" type="o" direction="out"/></method>
<method name="SearchItems"><arg name="attributes" type="a{ss}" direction="in"/><arg name="results" type="ao" direction="out"/></method>
<method name="CreateItem"><arg name="properties" type="a{sv}" direction="in"/><arg name="secret" type="(oayays)" direction="in"/><arg name="replace" type="b" direction="in"/><arg name="item" type="o" direction="out"/><arg name="prompt" type="o" direction="out"/></method>
<property name="Items" type="ao" access="read"/>
<property name="Label" type="s" access="readwrite"/>
<property name="Locked" type="b" access="read"/>
<property name="Created" type="t" access="read"/>
<property name="Modified" type="t" access="read"/>
<signal name="ItemCreated"><arg name="item" type="o"/></signal>
<signal name="ItemDeleted"><arg name="item" type="o"/></signal>
<signal name="ItemChanged"><arg name="item" type="o"/></signal>
</interface>
"#;

const ITEM: &str = r#"<interface name="org.freedesktop.Secret.Item">
<method name="Delete"><arg name="prompt" type="o" direction="out"/></method>
<method name="GetSecret"><arg name="session" type="o" direction="in"/><arg name="secret" type="(oayays)" direction="out"/></method>
<method name="SetSecret"><arg name="secret" type="(oayays)" direction="in"/></method>
<property name="Locked" type="b" access="read"/>
<property name="Attributes" type="a{ss}" access="readwrite"/>
<property name="Label" type="s" access="readwrite"/>
<property name="Created" type="t" access="read"/>
<property name="Modified" type="t" access="read"/>
</interface>
"#;

const SESSION: &str = r#"<interface name="org.freedesktop.Secret.Session"><method name="Close"/></interface>
"#;

const PROMPT: &str = r#"<interface name="org.freedesktop.Secret.Prompt">
<method name="Prompt"><arg name="window-id" type="s" direction="in"/></method>
<method name="Dismiss"/>
<signal name="Completed"><arg name="dismissed" type="b"/><arg name="result" type="v"/></signal>
</interface>
"#;

/// The description of an object.
pub(crate) fn description(object: Object) -> String {
    let (own, children): (&[&str], &[&str]) = match object {
        Object::Service => (&[PROPERTIES, SERVICE], &["collection", "aliases"]),
        Object::Collection(Kept::Login | Kept::Session) => (&[PROPERTIES, COLLECTION], &[]),
        Object::Item(_) => (&[PROPERTIES, ITEM], &[]),
        Object::Session(_) => (&[PROPERTIES, SESSION], &[]),
        Object::Prompt(_) => (&[PROPERTIES, PROMPT], &[]),
        Object::Branch(children) => (&[], children),
    };
    let mut text = format!("{HEAD}{EVERYWHERE}");
    own.iter().for_each(|part| text.push_str(part));
    for child in children {
        text.push_str(&format!("<node name=\"{child}\"/>\n"));
    }
    text.push_str("</node>\n");
    text
}
