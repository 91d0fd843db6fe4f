#include "tests/compat/text_corpus.h"

#include <array>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string_view>

#include "common/status/status_macros.h"
#include "llm/tokenizer/utf8.h"

namespace crossover::compat {
namespace {

// SplitMix64 (Steele et al. 2014): the same numbers with every standard library.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Below(uint64_t limit) {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (z ^ (z >> 31)) % limit;
  }
  template <typename T, size_t n>
  const T& Pick(const T (&choices)[n]) {
    return choices[Below(n)];
  }

 private:
  uint64_t state_;
};

struct Range {
  char32_t first;
  char32_t last;
};

// Ranges without holes in Unicode 15.
constexpr Range kLetters[] = {
    {'a', 'z'},         {'A', 'Z'},         {0xc0, 0xd6},     {0xdf, 0xf6},     {0x100, 0x17f},
    {0x1cd, 0x233},     {0x391, 0x3a1},     {0x3b1, 0x3c9},   {0x410, 0x44f},   {0x531, 0x556},
    {0x561, 0x586},     {0x5d0, 0x5ea},     {0x621, 0x63a},   {0x641, 0x64a},   {0x905, 0x939},
    {0x995, 0x9a8},     {0xe01, 0xe2e},     {0x10d0, 0x10f0}, {0x1200, 0x1248}, {0x3041, 0x3096},
    {0x30a1, 0x30fa},   {0x4e00, 0x9fa5},   {0xac00, 0xd7a3}, {0xff21, 0xff3a}, {0x10330, 0x10340},
    {0x1d400, 0x1d454}, {0x20000, 0x2a6d6}, {0x2b0, 0x2c1},
};
constexpr Range kMarks[] = {{0x300, 0x34e}, {0x93e, 0x94c}, {0x5b0, 0x5bd},
                            {0x64b, 0x652}, {0xe34, 0xe3a}, {0x20d0, 0x20dc}};
constexpr Range kNumbers[] = {
    {'0', '9'},         {0x660, 0x669},     {0x966, 0x96f},   {0xff10, 0xff19}, {0x2160, 0x2188},
    {0xb2, 0xb3},       {0xbc, 0xbe},       {0x2074, 0x2079}, {0x2460, 0x249b}, {0x3021, 0x3029},
    {0x1d7ce, 0x1d7ff}, {0x10107, 0x10133}, {0x2070, 0x2070}};
constexpr Range kSymbols[] = {
    {'!', '/'},         {':', '@'},         {'[', '`'},         {'{', '~'},        {0xa1, 0xac},
    {0x2010, 0x2027},   {0x20a0, 0x20bf},   {0x2190, 0x23f3},   {0x2500, 0x25ff},  {0x3001, 0x3003},
    {0x1f600, 0x1f64f}, {0x1f300, 0x1f320}, {0x1f900, 0x1f90f}, {0x1f1e6, 0x1f1ff}};
constexpr std::string_view kSpaces[] = {
    " ",        " ",      " ",      "  ",     "   ",    "\t",     "\n",     "\r\n",
    "\n\n",     "\r",     "\v",     "\f",     "\u0085", "\u00a0", "\u1680", "\u180e",
    "\u2003",   "\u200b", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\ufeff",
    "        ", "\t\t\t", " \n ",   "\x1c",   "\x1f"};
constexpr std::string_view kEmoji[] = {"😀",
                                       "👍🏽",
                                       "👩‍👩‍👧‍👦",
                                       "🇩🇪",
                                       "❤️",
                                       "🏳️‍🌈",
                                       "1️⃣",
                                       "🤷🏿‍♀️",
                                       "☕",
                                       "🦾"};
constexpr std::string_view kPhrases[] = {
    "The answer is not what we expected.",
    "don't, can't, won't; I'll, we've, they're, he'd",
    "DON'T I'LL WE'VE",
    "Der Übergang über die Brücke dauert länger.",
    "¿Dónde está el archivo de ayer?",
    "Où êtes-vous allés l'été dernier ?",
    "Это предложение написано по-русски.",
    "Η πρόταση αυτή είναι ελληνική.",
    "これは日本語の文です。",
    "这是一个用来测试的句子。",
    "이것은 한국어 문장입니다.",
    "هذه جملة باللغة العربية.",
    "זה משפט בעברית.",
    "यह हिन्दी का वाक्य है।",
    "นี่คือประโยคภาษาไทย",
    "Bu cümle Türkçe: ığüşöç İI",
    "Câu này bằng tiếng Việt.",
    "To zdanie jest po polsku: zażółć gęślą jaźń",
};
constexpr std::string_view kCode[] = {
    "for (int i = 0; i < 1024; ++i) {\n\tsum += x[i] * 2.5e-3f;\n}",
    "def f(x, *args):\n    return x ** 2  # squared\n",
    "{\"name\": \"libfoo-dev\", \"depends\": [\"libc6 (>= 2.34)\", null, true]}",
    "SELECT a.id, count(*) FROM t AS a GROUP BY 1;",
    "<div class=\"row\">&nbsp;&amp;</div>",
    "https://example.org/a/b?q=%20x&y=1#top",
    "$ ls -la /usr/share | grep '^d' >/dev/null 2>&1",
    "std::vector<std::pair<int, std::string>> v{{1, \"a\"}};",
    "\\begin{align} x^2 &= \\frac{1}{2} \\end{align}",
    "0x7fffffff 1_000_000 3.14159 -273.15 1e10 v1.2.3-rc4",
    "if err != nil { return fmt.Errorf(\"x: %w\", err) }",
};
constexpr std::string_view kControl[] = {"<|im_start|>",       "<|im_end|>",   "<|endoftext|>",
                                         "<|im_start",         "im_end|>",     "<repo_name>",
                                         "<|im_start|>user\n", "<<|im_end|>>", "<file_sep>"};

char32_t FromRanges(Random& random, const Range* ranges, size_t count) {
  const Range& range = ranges[random.Below(count)];
  return range.first + static_cast<char32_t>(random.Below(range.last - range.first + 1));
}

std::string Run(Random& random, const Range* ranges, size_t count, uint64_t longest) {
  std::string out;
  // Mostly of one script, as words are.
  const Range& range = ranges[random.Below(count)];
  const bool mixed = random.Below(4) == 0;
  for (uint64_t n = 1 + random.Below(longest); n > 0; --n) {
    const char32_t c =
        mixed ? FromRanges(random, ranges, count)
              : range.first + static_cast<char32_t>(random.Below(range.last - range.first + 1));
    llm::AppendUtf8(c, out);
  }
  return out;
}

std::string Part(Random& random) {
  switch (random.Below(12)) {
    case 0:
      return std::string(random.Pick(kPhrases));
    case 1:
      return std::string(random.Pick(kCode));
    case 2:
      return std::string(random.Pick(kEmoji));
    case 3:
      return std::string(random.Pick(kControl));
    case 4:
      return Run(random, kNumbers, std::size(kNumbers), 6);
    case 5:
      return Run(random, kSymbols, std::size(kSymbols), 4);
    case 6:
      return Run(random, kLetters, std::size(kLetters), 3) +
             Run(random, kMarks, std::size(kMarks), 3);
    case 7:
      return random.Below(8) == 0 ? std::string(1, static_cast<char>(random.Below(32)))
                                  : std::string(random.Pick(kPhrases));
    default:
      return Run(random, kLetters, std::size(kLetters), 12);
  }
}

}  // namespace

std::vector<std::string> TextCorpus(size_t lines, uint64_t seed) {
  Random random(seed);
  std::vector<std::string> corpus(lines);
  for (std::string& line : corpus) {
    for (uint64_t parts = 1 + random.Below(12); parts > 0; --parts) {
      line += Part(random);
      while (random.Below(3) != 0) line += random.Pick(kSpaces);
    }
  }
  return corpus;
}

absl::StatusOr<std::vector<std::string>> TextOfFile(const std::filesystem::path& path,
                                                    size_t most) {
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(path.string() + " cannot be read");
  std::vector<std::string> lines;
  for (std::string line; lines.size() < most && std::getline(file, line);) {
    if (!line.empty() && llm::IsValidUtf8(line)) lines.push_back(std::move(line));
  }
  return lines;
}

absl::StatusOr<std::vector<std::string>> TextToCompare(size_t lines, uint64_t seed) {
  if (const char* wanted = std::getenv("CROSSOVER_COMPAT_LINES")) {
    const std::string_view digits = wanted;
    const auto [end, error] = std::from_chars(digits.begin(), digits.end(), lines);
    if (error != std::errc() || end != digits.end() || lines == 0)
      return absl::InvalidArgumentError("CROSSOVER_COMPAT_LINES is '" + std::string(wanted) +
                                        "'; must be a number of lines");
  }
  std::vector<std::string> text = TextCorpus(lines, seed);
  if (const char* path = std::getenv("CROSSOVER_COMPAT_TEXT")) {
    ASSIGN_OR_RETURN(const std::vector<std::string> real, TextOfFile(path, lines));
    text.insert(text.end(), real.begin(), real.end());
  }
  return text;
}

}  // namespace crossover::compat
