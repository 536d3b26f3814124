package shop

// market is a country the shops sell to: its money, and invented people and places. All names are made up; addresses are
// at example.com and example.org, and telephone numbers are reserved for fiction or belong to nobody.
type market struct {
	country   string
	currency  currency
	tax       money // ten-thousandths
	people    []person
	places    []place
	phone     string // with room for two digits
	scooter   string // what an electric scooter is called
	engraving []string
}

type person struct{ first, last, mail string }

type place struct{ city, region, postcode, street string }

var (
	euro    = currency{"EUR", 2, 100}
	zloty   = currency{"PLN", 2, 425}
	koruna  = currency{"CZK", 2, 2_430}
	hryvnia = currency{"UAH", 2, 4_850}
	dollar  = currency{"USD", 2, 116}
	yen     = currency{"JPY", 0, 178}
	yuan    = currency{"CNY", 2, 825}
	shekel  = currency{"ILS", 2, 378}
	dinar   = currency{"KWD", 3, 356}
	rupee   = currency{"INR", 2, 10_350}
)

var germany = market{
	country: "DE", currency: euro, tax: 1_900, phone: "+49 30 23125 0%02d", scooter: "E-Scooter",
	people: []person{
		{"Jürgen", "Größmann-Weiß", "juergen.groessmann"},
		{"Zoë", "Müller", "zoe.mueller"},
		{"Jörg", "Süßkind", "joerg.suesskind"},
		{"Ayşe", "Yıldırım", "ayse.yildirim"},
	},
	places: []place{
		{"Köln", "Nordrhein-Westfalen", "50667", "Große Musterstraße 12"},
		{"München", "Bayern", "80331", "Beispielgässchen 3a"},
		{"Görlitz", "", "02826", "Am Übungsplatz 7"},
	},
	engraving: []string{"Für Zoë", "Größe & Güte", "Vorsicht, schnell! 🛴"},
}

var france = market{
	country: "FR", currency: euro, tax: 2_000, phone: "+33 1 99 00 12 %02d", scooter: "Trottinette électrique",
	people: []person{
		{"Anne-Sophie", "de l’Exemple", "anne-sophie.exemple"}, {"Loïc", "Lefèvre", "loic.lefevre"}, {"Maëlys", "Noël-Garçon", "maelys.noel"},
	},
	places: []place{
		{"Besançon", "Bourgogne-Franche-Comté", "25000", "3, rue de l’Essai"}, {"Nîmes", "", "30000", "18 bis, allée du Modèle"},
	},
	engraving: []string{"À mon cœur", "Vélo ? Non : trottinette !", "Été 2026 ☀️"},
}

var poland = market{
	country: "PL", currency: zloty, tax: 2_300, phone: "+48 00 000 00 %02d", scooter: "Hulajnoga elektryczna",
	people: []person{
		{"Łukasz", "Źdźbło", "lukasz.zdzblo"}, {"Świętosława", "Brzęczyszczykiewicz", "swietoslawa.b"}, {"Grażyna", "Żółć", "grazyna.zolc"},
	},
	places: []place{
		{"Łódź", "łódzkie", "90-001", "ul. Przykładowa 5 m. 7"}, {"Świnoujście", "", "72-600", "Plac Próbny 1"},
	},
	engraving: []string{"Zażółć gęślą jaźń", "Dla Świętosławy", "Gaz do dechy 🚀"},
}

var czechia = market{
	country: "CZ", currency: koruna, tax: 2_100, phone: "+420 000 000 0%02d", scooter: "Elektrokoloběžka",
	people:    []person{{"Jiří", "Říhánek", "jiri.rihanek"}, {"Žofie", "Křížová", "zofie.krizova"}, {"Ondřej", "Šťastný", "ondrej.stastny"}},
	places:    []place{{"Plzeň", "Plzeňský kraj", "301 00", "Ukázková 8"}, {"Třebíč", "", "674 01", "Zkušební náměstí 2"}},
	engraving: []string{"Příliš žluťoučký kůň", "Pro Žofii"},
}

var greece = market{
	country: "GR", currency: euro, tax: 2_400, phone: "+30 000 000 00%02d", scooter: "Ηλεκτρικό πατίνι",
	people: []person{
		{"Ελένη", "Παραδειγματίδου", "eleni.p"}, {"Γιώργος", "Δοκιμάκης", "giorgos.d"}, {"Ιωάννα", "Ξένου", "ioanna.xenou"},
	},
	places:    []place{{"Θεσσαλονίκη", "Κεντρική Μακεδονία", "546 21", "Οδός Παραδείγματος 14"}, {"Χανιά", "Κρήτη", "731 00", "Πλατεία Δοκιμής 2"}},
	engraving: []string{"Στην Ελένη", "Πάμε βόλτα; 🌊"},
}

var ukraine = market{
	country: "UA", currency: hryvnia, tax: 2_000, phone: "+380 00 000 00 %02d", scooter: "Електросамокат",
	people: []person{
		{"Олександра", "Їжакевич", "oleksandra.i"}, {"Ґео", "Приклад", "geo.pryklad"}, {"Мар’яна", "Щасливець", "mariana.s"},
	},
	places:    []place{{"Київ", "", "01001", "вул. Зразкова, 5, кв. 12"}, {"Чернівці", "Чернівецька область", "58000", "пров. Пробний, 1"}},
	engraving: []string{"Для Мар’яни", "Обережно: їду! ⚡"},
}

var unitedStates = market{
	country: "US", currency: dollar, tax: 825, phone: "+1 202 555 01%02d", scooter: "Electric scooter",
	people: []person{
		{"Jane", "Doe", "jane.doe"}, {"Siobhán", "O’Example", "siobhan.oexample"}, {"Renée", "Sample-Núñez", "renee.sample"}, {"Bob 🛴", "Tester", "bob.tester"},
	},
	places: []place{
		{"Springfield", "Illinois", "62701", "742 Sample Terrace, Apt. #5"}, {"San José", "California", "95113", "1 Test Plaza"},
	},
	engraving: []string{"I ♥ commuting", "\"Flash\" <Gordon>", "👩🏽‍🚀 on wheels"},
}

var japan = market{
	country: "JP", currency: yen, tax: 1_000, phone: "+81 00 0000 00%02d", scooter: "電動キックボード",
	people:    []person{{"さくら", "見本", "sakura.mihon"}, {"太郎", "例田", "taro.reida"}, {"ケンジ", "テスト", "kenji.tesuto"}},
	places:    []place{{"横浜市", "神奈川県", "220-0012", "見本町1丁目2番3号"}, {"札幌市", "北海道", "060-0001", "北一条西99丁目"}},
	engraving: []string{"さくらへ", "安全運転 🚦", "いってらっしゃい"},
}

var china = market{
	country: "CN", currency: yuan, tax: 1_300, phone: "+86 00 0000 00%02d", scooter: "电动滑板车",
	people:    []person{{"小明", "样", "xiaoming.yang"}, {"丽华", "示范", "lihua.shifan"}, {"𠮷", "测试", "ji.ceshi"}},
	places:    []place{{"上海市", "", "200000", "示例路88弄6号楼1202室"}, {"成都市", "四川省", "610000", "测试街5号"}},
	engraving: []string{"一路平安", "送给丽华 🎁"},
}

var israel = market{
	country: "IL", currency: shekel, tax: 1_800, phone: "+972 0 000 00%02d", scooter: "קורקינט חשמלי",
	people:    []person{{"נועה", "דוגמאי", "noa.dugmai"}, {"איתי", "בן־ניסוי", "itai.ben"}},
	places:    []place{{"תל אביב־יפו", "", "6100000", "רחוב הדוגמה 18"}, {"חיפה", "מחוז חיפה", "3100000", "שדרות הניסיון 4, דירה 2"}},
	engraving: []string{"לנועה באהבה", "סע לשלום 🙂"},
}

var kuwait = market{
	country: "KW", currency: dinar, tax: 0, phone: "+965 0000 00%02d", scooter: "سكوتر كهربائي",
	people:    []person{{"محمد", "المثال", "mohammed.m"}, {"نورة", "العيّنة", "noura.a"}},
	places:    []place{{"مدينة الكويت", "العاصمة", "", "قطعة ٣، شارع المثال، منزل ٢٧"}, {"السالمية", "حولي", "22000", "شارع التجربة ٩"}},
	engraving: []string{"إلى نورة", "بالسلامة 🌴"},
}

var india = market{
	country: "IN", currency: rupee, tax: 1_800, phone: "+91 00000 000%02d", scooter: "इलेक्ट्रिक स्कूटर",
	people:    []person{{"अनन्या", "उदाहरण", "ananya.u"}, {"विक्रम", "नमूनावाला", "vikram.n"}, {"ज्योत्स्ना", "परीक्षा", "jyotsna.p"}},
	places:    []place{{"पुणे", "महाराष्ट्र", "411001", "१२, नमूना मार्ग"}, {"जयपुर", "राजस्थान", "302001", "परीक्षण चौक, गली नं. ४"}},
	engraving: []string{"अनन्या के लिए", "शुभ यात्रा 🪔"},
}
