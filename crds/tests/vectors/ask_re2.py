#!/usr/bin/env python3
"""Asks RE2 itself what patterns mean, and writes re2.json beside this file.

Run once per release of RE2 one wants to agree with:

    python3 -m venv /tmp/re2 && /tmp/re2/bin/pip install google-re2==1.1.20251105
    /tmp/re2/bin/python crds/tests/vectors/ask_re2.py

The patterns are a list by hand (every construct of RE2's doc/syntax.txt, and what other dialects add to it) and a seeded
sample of their combinations. For each, RE2 says whether it accepts the pattern and which names it matches whole
(grouped, then anchored), anywhere, and in GitLab's reading (anchors around the bare text).
"""
import json
import pathlib
import random

import re2

BY_HAND = r"""
.* .+ . a abc v.+ v10.1.* (?:v.+|master|release) (?:v.+|main|release.*) [0-9a-z]{40} main release.* .*-main
\d+\.\d+\.\d+(-ee)? (?:v.+|master|main|\d+\.\d+\.\d+(-ee)?) ^v[0-9] ^main$ ^v.*$ v\d+\.\d+ A|B.*|C stable|v.* release|v.*
a| |a a||b () (|a)* (a|b)* ((a)|(b))+ (?:) (?:a) (?:a|b)c a|b|c (a|b)|c (?i)a|b (?:a|b)|(?:c) ^a|b$ ^(a|b)$
a* a+ a? a*? a+? a?? a{2} a{2}? a{1,2} a{1,2}? a{1,} a{0} a{0,0} a{0,1} a{3,2} a{1000} a{1001} a{1,1001} a{1001,} a{01} a{1,02}
a{ a{x} a{,3} a{1 a{1, a{1,2 a{-1} a{1,a} a{} a{,} {2} {,2} { } a} a{99999999} a{100000000} a{999999999999} a{1}{ a{{1} {{ {a}
a** a++ a?? a??? a*+ a+* a*? a*?? a*?* a{2}* a{2}+ a{2}{3} a{2}?{3} a*{2} (a*)* (a{2}){3} (?:a*)+ (a**) a|* a|+ a|? (*) (+a) *a +a ?a ^* ^+ $* (^)* \b* \b+ a\b+ *test*
(a{10}){100} (a{10}){101} ((a{2}){30}){17} ((a{2}){30}){16} (a*){1000} (a{1000}){1} (a{1000}){2} (a{0}){1000} (a{500}|b{3}){2} (a{501}|b{3}){2} (a{2,}){500} (a{2,}){501} (?:a{10}b{20}){50} (?:a{10}b{20}){51}
a*(?i)* a*(?i)+ (?i)* a(?i)* a*\Q\E* a\Q\E* \Q\E* a\Qbc\E* a\Qbc\E{2}
\Qa.b\E \Qa.b \Q \Q\E a\Q.*\Eb \Q[\E \Qa|b\E (\Qa)\E) \Q\\E \Q\Q\E \E a\E [\Qa\E] \Qa\Eb|c \Q{2}\E
[a] [abc] [a-c] [^a] [^a-c] [] [^] [a [a- [a-] [-a] [--a] [a--] [a-c-e] [a-\d] [\d-z] [\d-] [z-a] [a-a] []a] [^]a] [][] [^][] [[] [[a] [a[b] [a[bc]] [^[]
[a&&b] [a&b] [&&] [a&&&b] [a~~b] [a--b] [!--] [a-c--b] [a-z&&[aeiou]] [^a&&b] [a||b] [\]] [\[] [\\] [\-a] [a\-c] [\^a] [a^] [.] [*] [$] [|] [(] [)] [{] [}] [?] [+] [/] [#] [ ] [.-_]
[[:alpha:]] [[:^alpha:]] [[:alnum:]_] [[:digit:]-[:upper:]] [[:foo:]] [[:alpha]] [[:alpha] [:alpha:] [[:word:]] [[:ascii:]] [[:blank:]] [[:cntrl:]] [[:graph:]] [[:lower:]] [[:print:]] [[:punct:]] [[:space:]] [[:upper:]] [[:xdigit:]] [[:digit:]] [[:^digit:]] [^[:digit:]] [[:a]b:] [[.a.]] [[=a=]] [[:^foo:]] [[::]] [[:ALPHA:]]
\d \D \s \S \w \W [\d] [^\d] [\D\d] [\w.-]+ [\s\S] [^\s\S] [^\w] \d{3} [\d\-] [\W]
\pL \pN \p{L} \p{Lu} \p{Ll} \p{Lt} \p{Greek} \p{Latin} \p{Common} \p{Han} \p{Any} \p{^Greek} \P{Greek} \P{^Greek} \PL \P{L} \p{^L} \p{greek} \p{IsGreek} \p{Script=Greek} \p{sc=Greek} \p{Letter} \p{L&} \p{LC} \p{Cn} \p{any} \p{Alphabetic} \p{} \p{ \p \P [\pL] [^\pL] [\PL\pL] [\p{Lu}\d] [\p{Foo}] \pF \p{Nd}+ \p{P} \p{S} \p{Zs} \p{Cc} \p{Pd} \p{Sm} \p{^} [\p{L]} \p{Inherited} \p{Co} \pé
\012 \01 \0 \00 \000 \0000 \07 \08 \101 \141 \1410 \377 \400 \777 \1 \2 \8 \9 \18 \12 \123 (a)\1 (a)\12 [\101-\103] [\0-\1] [\1] [\12] \60
\x41 \x4 \x \xg \x4g \x{41} \x{61}\x{62} \x{} \x{g} \x{41 \x{10FFFF} \x{110000} \x{0000000000041} \x{D800} [\x{D800}-\x{E000}] [\x41-\x43] [\x{61}-\x{63}] \x{212a} \x61+ \X41 \x{4 1}
\n \r \t \a \f \v \e \cA \h \H \R \K \X \N \G \N{LATIN} \u0041 \u{41} \U00000041 \y \q \i \o{101} \g1 \g{1} \k<a> \< \> \! \" \# \% \& \' \, \- \. \/ \: \; \= \@ \[ \] \^ \_ \` \{ \| \} \~ \\ \ é \é
\A \z \Z \b \B a\b \ba a\B \bv\d+\b \b{start} \b{end} \B\B ^ $ ^^ $$ ^$ $^ a^ a$b (?m)^a$ (?m)^ (?-m)$ \Aa\z \Aa|b\z a\z|b \b\b
\C \Ca \C* \C{2} [\C] a\Cb
(?i)a (?i)A (?i:a)b (?i)[a-c] (?i)[^a-c] (?i)[k] (?i)k (?i)[^k] (?i)s (?i)\x{17f} (?i)\x{212a} (?i)[\x{17f}] (?i)[^\x{212a}] (?i)\p{Lu} (?i)\p{Ll} (?i)\P{Lu} (?i)[[:upper:]] (?i)[[:^upper:]] (?i)[^[:lower:]] (?i)\Qa\E (?i)ab|cd (?i)é (a(?i)b)c (?i-i)a (?i)a(?-i)b a(?i)b|c (?i)[Z-a] (?i)[\x{100}-\x{200}] (?i)\w (?i)\W (?i)\D (?i)[@-^]
(?m)a (?s). (?s).* (?U)a+ (?U)a+? (?im)a (?im-s:a) (?i-m-s)a (?-i)a (?-) (?-:a) (?i-) (?i-:a) (?) (?:) (?x)a (?a) (?u)a (?J) (?n) (?ii)a (?i (?i: (? (?: (?P (?P< (?P<> (?P<>a) (?P<n>a) (?P<n>a)(?P<n>b) (?<n>a) (?<n>a)(?P<m>b) (?P<1a>x) (?P<a-b>x) (?P<é>x) (?P<a²>x) (?P=n) (?P>n) (?P<n (?<n (?< (?'n'a) (?P<n>a|b)c (?<>a) (?--i) (?s-s).
(?=a) (?!a) (?<=a) (?<!a) (?>a) (?#c) (?|a|b) (?R) (?1) (?+1) (?&n) (?(1)a|b) (?C) (?!v).* ^(?!main$).* (*UTF8)a (*FAIL)
( ) (( )) (a a) (a)) ((a) a)|(b (a|b a|b) [( [)] ([)] ([)]) (a)(b)(c) ((((a)))) (?:((a))) (?:(?:a))
é ä.* [é] [^é] [à-ü] [a-é] [^a-é] .é a.é* ☃ a☃? [☃a]
""".split()
BY_HAND += ["", " ", "a b", "a {2}", "[ a]", r"\ ", "a\nb", "[\n]", "[^\n]", "(?i) ", "a" * 256, "(" * 20 + "a" + ")" * 20]

NAMES = """
a b c aa ab abc aaa A B Ba Bb C ABC k K s S z _ 0 1 01 123 v v1 v2 v1.0 v1x0 v10.1 v10x1 v10.1.5 1.2.3 1.2.3-ee 1.2.3-rc1
main main-1 premain x-main master latest stable stable-1 x-v1 my-v2 release release-1 prerelease foo test mytest a.b axb a-b
a_b a.c abab aabb bc cd Ab aB - -- . a{ a{} a{x} a{,3} a{1 a{2} {2} { } {{ a} a{{ a{01} a{-1} & && ~ ! [ ] [] ^ $ | || * + ? ( ) / # \\ a\\z
team-a/shop team-a/shop/api team-a/shop/api/v2 0123456789abcdef0123456789abcdef01234567 aaaaaaaaaaaaaaaaaaaa <a> "
""".split() + ["", " ", "a b", "\n", "a\n", "\na", "a\nb", "\t", "\x00", "\x07", "\x0b", "\x0c", "\x1b", "\x7f", "a" * 256]

ATOMS = r"a b v \d \w . [a-c] [^a] [a&&b] [[:alpha:]] \pL \Q.\E \x61 \101 (?i:B) ^ $ \b (a|b) (?:ab) - \. { a{2} (?i) | ( ) [".split()
SUFFIXES = ["", "", "", "", "*", "+", "?", "{2}", "{0,2}", "{1,}", "{,2}", "{", "**", "*?", "}"]


def combinations(count):
    chance = random.Random(20261124)
    return ["".join(chance.choice(ATOMS) + chance.choice(SUFFIXES) for _ in range(chance.randint(1, 5))) for _ in range(count)]


def compiled(pattern):
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)


def verdict(pattern):
    try:
        plain = compiled(pattern)
    except re2.error as error:
        text = error.args[0]
        return {"pattern": pattern, "error": text.decode(errors="replace") if isinstance(text, bytes) else str(text)}
    matching = lambda p: [number for number, name in enumerate(NAMES) if p.search(name)]
    entry = {"pattern": pattern, "anywhere": matching(plain), "whole": [n for n, name in enumerate(NAMES) if plain.fullmatch(name)]}
    try:
        entry["ungrouped"] = matching(compiled("\\A" + pattern + "\\z"))
    except re2.error:
        pass
    return entry


if __name__ == "__main__":
    patterns = list(dict.fromkeys(BY_HAND + combinations(400)))
    lines = ",\n".join(json.dumps(verdict(pattern), ensure_ascii=True, separators=(",", ":")) for pattern in patterns)
    head = '{"re2":"google-re2 1.1.20251105","names":' + json.dumps(NAMES) + ',"patterns":[\n'
    pathlib.Path(__file__).with_name("re2.json").write_text(head + lines + "\n]}\n")
    print(len(patterns), "patterns,", len(NAMES), "names")
