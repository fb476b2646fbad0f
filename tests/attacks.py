"""Attacks: documents written to be expensive, each by its name; with variables where they are part of it."""

from typing import Any

Attack = str | tuple[str, dict[str, Any]]
HUGE = 59_989_075


def times(count: int, text: str, between: str = " ") -> str:
    """Repeat a text; `#` in it becomes the number of the repetition."""
    return between.join(text.replace("#", str(n)) for n in range(count))


def nested(count: int, opening: str, inside: str) -> str:
    return opening * count + inside + "}" * count


def chain(count: int, fragment: str, last: str, root: str) -> str:
    """Spread a fragment that spreads the next; `@` in it becomes the number of the next."""
    middle = " ".join(fragment.replace("#", str(n)).replace("@", str(n + 1)) for n in range(count))
    return f"{root} {middle} {last.replace('#', str(count))}"


DOUBLING = "fragment F# on Provider{appointments{nodes{provider{...F@}}}availableAppointments{nodes{provider{...F@}}}}"
PAGED = (
    "fragment F# on Provider{appointments(first:$n){nodes{provider{...F@}}}"
    "availableAppointments(first:$n){nodes{provider{...F@}}}}"
)
LEAF = "fragment F# on Provider{firstName}"
ROOT = "query($n:Int){providers(first:$n){nodes{...F0}}}"
SUBSETS = (
    "fragment A# on Reservation{appointment{confirmedReservation{...A@ ...B@}}provider{appointments{nodes"
    "{confirmedReservation{...A@}}}}}fragment B# on Reservation{appointment{confirmedReservation{...B@}}"
    "provider{appointments{nodes{confirmedReservation{...A@ ...B@}}}}}"
)

FRAGMENTS: dict[str, Attack] = {
    "fragments doubling": chain(25, DOUBLING, LEAF, "{providers{nodes{...F0}}}"),
    "fragments doubling without a level": chain(25, "fragment F# on Query{...F@ ...F@}", "fragment F# on Query{serverTime}", "{...F0}"),
    "fragments doubling by aliases": chain(25, "fragment F# on Query{a:node(id:1){...F@}b:node(id:1){...F@}}", "fragment F# on Query{serverTime}", "{...F0}"),
    "fragments doubling with a page": (chain(25, PAGED, LEAF, ROOT), {"n": 100}),
    "fragments doubling with a page of none": (chain(25, PAGED, LEAF, ROOT), {"n": 0}),
    "fragments doubling with a negative page": (chain(25, PAGED, LEAF, ROOT), {"n": -(10**9)}),
    "fragments of many subsets": chain(11, SUBSETS, "fragment A# on Reservation{id}fragment B# on Reservation{id}", "{reservation(id:1){...A0 ...B0}}"),
    "fragments of many subsets, in another operation": chain(11, SUBSETS, "fragment A# on Reservation{id}fragment B# on Reservation{id}", "query Meant{serverTime}query Other{reservation(id:1){...A0 ...B0}}"),
    "a chain of fragments": chain(240, "fragment F# on Query{...F@}", "fragment F# on Query{serverTime}", "{...F0}"),
    "a chain of fragments that goes deep": chain(130, "fragment F# on Appointment{confirmedReservation{appointment{...F@}}}", "fragment F# on Appointment{id}", "{appointment(id:1){...F0}}"),
    "a circle of two fragments": "{...A} fragment A on Query{...B} fragment B on Query{...A}",
    "a fragment within itself": "{...A} fragment A on Query{serverTime ...A}",
    "a circle through a field": "{appointment(id:1){...A}} fragment A on Appointment{confirmedReservation{appointment{...A}}}",
    "a circle of all fragments": "{...F0}" + times(20, f"fragment F# on Query{{{times(20, '...F#')}}}"),
    "unused fragments by the hundred": "{serverTime}" + times(270, "fragment F# on Query{serverTime}"),
    "unknown fragments by the hundred": "{" + times(500, "...F#") + "}",
    "fragments of one name": "{...A}" + times(270, "fragment A on Query{serverTime}"),
    "one fragment spread by the hundred": "{" + times(900, "...A") + "} fragment A on Query{serverTime}",
    "fragments on unknown types": "{" + times(300, "...on Nothing#{a}") + "}",
    "inline fragments, nested": "{" + nested(180, "...{", "serverTime") + "}",
    "inline fragments, nested too deep": "{" + nested(400, "...{", "serverTime") + "}",
    "inline fragments, side by side": "{" + times(450, "...{serverTime}") + "}",
    "inline fragments on every type": "{node(id:1){" + times(150, "...on Client{id}...on Provider{id}") + "}}",
    "a fragment in every field": "{" + times(95, "node(id:1){...F}") + "} fragment F on Node{" + times(150, "...on Client{id}") + "}",
}  # fmt: skip

FIELDS: dict[str, Attack] = {
    "aliases": "{" + times(101, "a#:serverTime") + "}",
    "aliases on every level": "{" + nested(10, "a:node(id:1){b:id ...on Client{c:id ", times(20, "d#:id")) + "}" * 11,
    "aliases of conflicting fields": "{" + times(30, "a:serverTime a:__typename") + "}",
    "a long alias": "{" + "a" * 15_000 + ":serverTime}",
    "a long field": "{" + "a" * 15_000 + "}",
    "long fields": "{" + times(90, "a" * 200 + "#") + "}",
    "the same field by the hundred": "{" + times(950, "serverTime") + "}",
    "the same link by the hundred": "{" + times(200, 'provider(id:"a"){id}') + "}",
    "the same field with other selections": "{providers{nodes{" + times(110, "clients{nodes{id}}clients{nodes{email}}") + "}}}",
    "the same field with other arguments": "{" + times(200, 'provider(id:"#"){id}') + "}",
    "the name of the type by the hundred": "{" + "__typename " * 900 + "}",
    "unknown fields": "{" + times(900, "nothing#") + "}",
    "unknown fields that are nearly known": "{" + times(900, "providerz") + "}",
    "unknown arguments": "{" + times(300, "serverTime(a#:1)") + "}",
    "conflicts in pairs": "{" + times(30, "a#:serverTime a#:__typename") + "}",
    "deep nesting": "{" + nested(60, "appointment(id:1){confirmedReservation{", "id") + "}" * 61,
    "deep nesting of nothing": "{" * 5_000,
    "deep nesting of one name": "{" + nested(600, "a{", "a") + "}",
    "deep lists": "{" + nested(3, "providers{nodes{clients{nodes{", "id") + "}" * 10,
    "deep lists by edges": "{providers{edges{node{clients{edges{node{providers{edges{node{id}}}}}}}}}}",
    "empty selections": "{" + times(400, "viewer{}") + "}",
    "mutations by the dozen": "mutation{" + times(21, 'reservationCancel(input:{reservationId:"#"}){userErrors{code}}') + "}",
    "mutations by a fragment": "mutation{...F ...F ...F} fragment F on Mutation{" + times(8, 'reservationCancel(input:{reservationId:"a"}){userErrors{code}}') + "}",
}  # fmt: skip

PAGES: dict[str, Attack] = {
    "a huge page": f"{{providers(first:{HUGE}){{nodes{{clients(first:{HUGE}){{nodes{{id}}}}}}}}}}",
    "a huge page by a variable": ("query($n:Int){providers(first:$n){nodes{clients(first:$n){nodes{id}}}}}", {"n": HUGE}),
    "a huge page by a default": f"query($n:Int={HUGE}){{providers(first:$n){{nodes{{id}}}}}}",
    "a huge page as a fraction": ("query($n:Int){providers(first:$n){nodes{clients(first:$n){nodes{id}}}}}", {"n": 1e9}),
    "a page that takes another's cost away": "{a:providers(first:-99999999){nodes{id}}b:providers(first:100){nodes{clients(first:100){nodes{id email}}}}}",
    "a page of ten thousand digits": "{providers(first:" + "9" * 10_000 + "){nodes{id}}}",
    "a negative page of ten thousand digits": "{providers(first:-" + "9" * 10_000 + "){nodes{id}}}",
    "an id of ten thousand digits": "{node(id:" + "9" * 10_000 + "){id}}",
    "a fraction of ten thousand digits": "{providers(first:1." + "9" * 10_000 + "){nodes{id}}}",
    "an exponent of ten thousand digits": "{providers(first:1e" + "9" * 10_000 + "){nodes{id}}}",
    "pages in a text": ("query($n:Int){providers(first:$n){nodes{id}}}", {"n": "9" * 10_000}),
    "ids by the thousand": "{nodes(ids:[" + "1 " * 1_900 + "]){id}}",
    "ids by a variable": ("query($i:[ID!]!){nodes(ids:$i){...on Provider{clients(first:100){nodes{id}}}}}", {"i": ["a"] * 1_000}),
}  # fmt: skip

VALUES: dict[str, Attack] = {
    "a huge text": '{node(id:"' + "a" * 19_000 + '"){id}}',
    "a huge text of escapes": '{node(id:"' + "\\u00e9" * 3_000 + '"){id}}',
    "a text of long escapes": '{node(id:"' + "\\u{1F600}" * 2_000 + '"){id}}',
    "a text of half characters": '{node(id:"' + "\\uD83D" * 3_000 + '"){id}}',
    "a huge block text": '{node(id:"""' + "\n  a" * 4_500 + '"""){id}}',
    "a block text that is indented further and further": '{node(id:"""' + times(180, "\n~").replace("~", " " * 90) + '"""){id}}',
    "texts that do not end": '{node(id:"' * 1_000,
    "a huge list": "{providers(orderBy:[" + times(250, "{field:LAST_NAME}") + "]){nodes{id}}}",
    "a list in a list": "{nodes(ids:" + "[" * 190 + "]" * 190 + "){id}}",
    "a list in a list, too deep": "{nodes(ids:" + "[" * 5_000 + "]" * 5_000 + "){id}}",
    "an input in an input": "{appointments(filter:" + "{a:" * 190 + "1" + "}" * 190 + "){nodes{id}}}",
    "an input of unknown fields": "{appointments(filter:{" + times(600, "a#:1") + "}){nodes{id}}}",
    "an input of one field by the hundred": "{appointments(filter:{" + 'date:"a" ' * 600 + "}){nodes{id}}}",
    "values of a wrong kind": "{providers(orderBy:[" + "WRONG " * 1_800 + "]){nodes{id}}}",
    "variables": "query(" + times(400, "$v#:Int") + "){serverTime}",
    "variables with defaults": "query(" + times(300, "$v#:Int=1") + "){serverTime}",
    "variables with huge defaults": "query($i:[ID!]=[" + "1 " * 1_900 + "]){nodes(ids:$i){id}}",
    "variables that nobody declared": "{providers(orderBy:[" + times(900, "$v#") + "]){nodes{id}}}",
    "a variable used by the hundred": "query($i:ID!){" + "node(id:$i){id}" * 170 + "}",
    "operations that share variables": times(9, "query Q#($n:Int){...F}") + "fragment F on Query{" + "providers(first:$n){totalCount}" * 150 + "}",
}  # fmt: skip

SHAPES: dict[str, Attack] = {
    "directives that nobody knows": "{serverTime" + times(10, "@a#") + "}",
    "the same unknown directive": "{serverTime" + "@a" * 950 + "}",
    "directives on every field": "{" + "serverTime@include(if:true)" * 51 + "}",
    "directives on one field": "{serverTime" + "@include(if:true)" * 250 + "}",
    "directives doubling": chain(25, "fragment F# on Query{...F@ %skip(if:false)...F@ %skip(if:false)}", "fragment F# on Query{serverTime}", "{...F0}").replace("%", "@"),
    "directives on variables": "query($a:Int" + "@a" * 900 + "){serverTime}",
    "a directive that belongs elsewhere": "{" + 'serverTime@specifiedBy(url:"a")' * 40 + "}",
    "2,000 directives": "{serverTime" + "@a" * 2_000 + "}",
    "operations by the thousand": times(1_000, "query Q#{a}"),
    "operations by the hundred": times(300, "query Q#{a}"),
    "operations without a name": "{serverTime}" * 300,
    "comments": "{serverTime}" + "\n#" * 500_000,
    "comments in the limit": "{serverTime}" + "\n#" * 9_900,
    "commas": "{" + "," * 19_900 + "serverTime}",
    "line feeds": "{" + "\r\n" * 9_900 + "serverTime}",
    "spreads of dots": "{" + "..." * 6_000 + "}",
    "names by the thousand": "a " * 9_900,
    "control characters": "{" + "\x00" * 10_000 + "}",
    "characters that are no name": "{" + "é" * 9_000 + "}",
    "types in place of operations": times(270, "type T#{a:Int}"),
    "directives defined in place": times(200, "directive@a# on FIELD ") + "{serverTime}",
    "a subscription": "subscription{serverTime}",
}  # fmt: skip

ABOUT = "name kind ofType{name}"
INTROSPECTION: dict[str, Attack] = {
    "introspection in circles": "{__schema{types{" + nested(20, "fields{type{", "name") + "}" * 20 + "}}}",
    "introspection in circles of fragments": chain(40, "fragment F# on __Type{fields{type{...F@}}}", "fragment F# on __Type{name}", "{__schema{types{...F0}}}"),
    "introspection doubling": chain(25, "fragment F# on __Type{ofType{...F@ ...F@}}", "fragment F# on __Type{name}", "{__schema{types{...F0}}}"),
    "introspection by the hundred": "{" + times(100, "__schema{types{name}}") + "}",
    "introspection of a type by aliases": "{" + times(30, f'a#:__type(name:"Client"){{{ABOUT}}}') + "}",
    "introspection of fields in fields": '{__type(name:"Client"){' + nested(3, "fields{type{", "name") + "}" * 3 + "}}",
    "introspection in introspection": "{" + nested(180, "__schema{", "x") + "}",
    "introspection of a type without end": '{__type(name:"Client"){' + nested(180, "ofType{", "name") + "}}",
}  # fmt: skip

ATTACKS: dict[str, Attack] = FRAGMENTS | FIELDS | PAGES | VALUES | SHAPES | INTROSPECTION
