//! The names RE2 knows in `\p{…}`, and the ASCII characters they hold (asked of RE2 itself, release 2025-11-05).

use super::ascii::Ascii;

/// Properties with ASCII members.
const WITH_ASCII: [(&str, u128); 22] = [
    ("Any", u128::MAX),
    ("C", 0x8000_0000_0000_0000_0000_0000_ffff_ffff),
    ("Cc", 0x8000_0000_0000_0000_0000_0000_ffff_ffff),
    ("Common", 0xf800_0001_f800_0001_ffff_ffff_ffff_ffff),
    ("L", 0x07ff_fffe_07ff_fffe_0000_0000_0000_0000),
    ("Latin", 0x07ff_fffe_07ff_fffe_0000_0000_0000_0000),
    ("Ll", 0x07ff_fffe_0000_0000_0000_0000_0000_0000),
    ("Lu", 0x0000_0000_07ff_fffe_0000_0000_0000_0000),
    ("N", 0x0000_0000_0000_0000_03ff_0000_0000_0000),
    ("Nd", 0x0000_0000_0000_0000_03ff_0000_0000_0000),
    ("P", 0x2800_0000_b800_0001_8c00_f7ee_0000_0000),
    ("Pc", 0x0000_0000_8000_0000_0000_0000_0000_0000),
    ("Pd", 0x0000_0000_0000_0000_0000_2000_0000_0000),
    ("Pe", 0x2000_0000_2000_0000_0000_0200_0000_0000),
    ("Po", 0x0000_0000_1000_0001_8c00_d4ee_0000_0000),
    ("Ps", 0x0800_0000_0800_0000_0000_0100_0000_0000),
    ("S", 0x5000_0001_4000_0000_7000_0810_0000_0000),
    ("Sc", 0x0000_0000_0000_0000_0000_0010_0000_0000),
    ("Sk", 0x0000_0001_4000_0000_0000_0000_0000_0000),
    ("Sm", 0x5000_0000_0000_0000_7000_0800_0000_0000),
    ("Z", 0x0000_0000_0000_0000_0000_0001_0000_0000),
    ("Zs", 0x0000_0000_0000_0000_0000_0001_0000_0000),
];

/// Properties without any ASCII member: in a name they match nothing.
const WITHOUT_ASCII: &str = "M Cf Co Cs Lm Lo Lt Mc Me Mn Nl No Pf Pi So Zl Zp \
    Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali Bhaiksuki Bopomofo \
    Brahmi Braille Buginese Buhid Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham Cherokee Chorasmian Coptic \
    Cuneiform Cypriot Cypro_Minoan Cyrillic Deseret Devanagari Dives_Akuru Dogra Duployan Egyptian_Hieroglyphs Elbasan \
    Elymaic Ethiopic Georgian Glagolitic Gothic Grantha Greek Gujarati Gunjala_Gondi Gurmukhi Han Hangul Hanifi_Rohingya \
    Hanunoo Hatran Hebrew Hiragana Imperial_Aramaic Inherited Inscriptional_Pahlavi Inscriptional_Parthian Javanese \
    Kaithi Kannada Katakana Kawi Kayah_Li Kharoshthi Khitan_Small_Script Khmer Khojki Khudawadi Lao Lepcha Limbu \
    Linear_A Linear_B Lisu Lycian Lydian Mahajani Makasar Malayalam Mandaic Manichaean Marchen Masaram_Gondi Medefaidrin \
    Meetei_Mayek Mende_Kikakui Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi Mongolian Mro Multani Myanmar Nabataean \
    Nag_Mundari Nandinagari New_Tai_Lue Newa Nko Nushu Nyiakeng_Puachue_Hmong Ogham Ol_Chiki Old_Hungarian Old_Italic \
    Old_North_Arabian Old_Permic Old_Persian Old_Sogdian Old_South_Arabian Old_Turkic Old_Uyghur Oriya Osage Osmanya \
    Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic Samaritan Saurashtra Sharada \
    Shavian Siddham SignWriting Sinhala Sogdian Sora_Sompeng Soyombo Sundanese Syloti_Nagri Syriac Tagalog Tagbanwa \
    Tai_Le Tai_Tham Tai_Viet Takri Tamil Tangsa Tangut Telugu Thaana Thai Tibetan Tifinagh Tirhuta Toto Ugaritic Vai \
    Vithkuqi Wancho Warang_Citi Yezidi Yi Zanabazar_Square";

/// The ASCII members of a property, or `None` for a name that RE2 does not know. Names are compared exactly, as there.
pub(super) fn lookup(name: &str) -> Option<Ascii> {
    if let Some((_, members)) = WITH_ASCII.iter().find(|(known, _)| *known == name) {
        return Some(Ascii(*members));
    }
    WITHOUT_ASCII.split_ascii_whitespace().any(|known| known == name).then(Ascii::default)
}
