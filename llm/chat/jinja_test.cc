// What Python's jinja2 gives for the same templates; tests/compat compares whole ones with
// transformers.
#include "llm/chat/jinja.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/status/error.h"
#include "llm/chat/conversation.h"

namespace crossover::llm::jinja {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Dict Variables() {
  const auto json = nlohmann::ordered_json::parse(R"({
    "s": "Hello", "n": 3, "f": 2.5, "yes": true, "nothing": null, "list": [3, 1, 2], "empty": [],
    "d": {"b": 1, "a": "x"}, "people": [{"name": "Ann", "age": 30}, {"name": "bob", "age": 25}],
    "odd": "\u00e9\u4e2d\n'q\""})");
  return *Value::FromJson(json, 1).dict();
}

std::string Of(std::string_view source) {
  const auto program = Program::Compile(source);
  if (!program.ok()) return "ERROR " + std::string(program.status().message());
  const auto rendered = (*program)->Render(Variables());
  if (!rendered.ok()) return "ERROR " + std::string(rendered.status().message());
  return std::string(rendered->text.view());
}

struct Case {
  const char* source;
  const char* expected;
};

void Check(const std::vector<Case>& cases) {
  for (const Case& c : cases) EXPECT_EQ(Of(c.source), c.expected) << c.source;
}

TEST(JinjaTest, Literals) {
  Check({{"{{ 1 + 2 * 3 }}", "7"},
         {"{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }}", "3 -4 2 3.5 1024"},
         {"{{ 'a' 'b' }}{{ \"c\\n\\t\\u00e9\" }}", "abc\n\t\u00e9"},
         {"{{ true }} {{ None }} {{ none }} {{ 1.0 }} {{ 1e20 }} {{ 1e-7 }}",
          "True None None 1.0 1e+20 1e-07"},
         {"{{ [1, 'x', none, {'k': [true]}] }}", "[1, 'x', None, {'k': [True]}]"},
         {"{{ (1, 2)[1] }}{{ {'a': 1}.a }}{{ {'a': 2}['a'] }}", "212"},
         {"{{ 1_000 }} {{ 3 if yes else 4 }} {{ 3 if nothing }}", "1000 3 "},
         {"{{ 'x' * 3 }}{{ [1] + [2] }}", "xxx[1, 2]"},
         {"{{ odd }}|{{ [odd] }}", "\u00e9\u4e2d\n'q\"|['\u00e9\u4e2d\\n\\'q\"']"}});
}

TEST(JinjaTest, LogicAndComparisons) {
  Check({{"{{ 1 < 2 < 3 }} {{ 1 == 1.0 }} {{ 'a' < 'b' }} {{ not yes }}", "True True True False"},
         {"{{ s and n }} {{ nothing or 'x' }} {{ '' or 0 or [] }}", "3 x []"},
         {"{{ 'ell' in s }} {{ 2 in list }} {{ 'a' in d }} {{ 'z' not in d }}",
          "True True True True"},
         {"{{ missing is defined }} {{ s is string }} {{ d is mapping }} {{ list is iterable }}",
          "False True True True"},
         {"{{ nothing is none }} {{ yes is true }} {{ 1 is true }} {{ 4 is divisibleby 2 }}",
          "True True False True"},
         {"{{ n is not defined }} {{ n is odd and not n is even }} {{ n is eq 3 }}",
          "False True True"},
         {"{{ missing }}{{ missing == missing }}{{ missing | default('d') }}", "Trued"}});
}

TEST(JinjaTest, ItemsAndSlices) {
  Check({{"{{ list[0] }}{{ list[-1] }}{{ list[9] }}{{ s[1] }}{{ s[-1] }}", "32eo"},
         {"{{ list[1:] }} {{ list[:-1] }} {{ list[::-1] }} {{ s[::-1] }} {{ s[1:3] }}",
          "[1, 2] [3, 1] [2, 1, 3] olleH el"},
         {"{{ list[-2:] }} {{ list[5:] }} {{ list[::2] }} {{ odd[0:2] }}",
          "[1, 2] [] [3, 2] \u00e9\u4e2d"},
         {"{{ people[0].name }} {{ people[1]['age'] }} {{ people.0.name }}", "Ann 25 Ann"},
         {"{{ d.items() | list }} {{ d.keys() | list }} {{ d.get('q', 7) }}",
          "[['b', 1], ['a', 'x']] ['b', 'a'] 7"}});
}

TEST(JinjaTest, Filters) {
  Check(
      {{"{{ '  x ' | trim }}|{{ s | upper }}|{{ s | length }}|{{ odd | length }}", "x|HELLO|5|6"},
       {"{{ list | join(', ') }} {{ list | sort | first }} {{ list | max }} {{ list | sum }}",
        "3, 1, 2 1 3 6"},
       {"{{ people | map(attribute='name') | join('+') }}", "Ann+bob"},
       {"{{ people | selectattr('age', 'gt', 26) | map(attribute='name') | list }}", "['Ann']"},
       {"{{ people | sort(attribute='name', reverse=true) | map(attribute='age') | list }}",
        "[25, 30]"},
       {"{{ ['a', 'b'] | map('upper') | list }} {{ [0, 1] | select | list }}", "['A', 'B'] [1]"},
       {"{{ d | tojson }} {{ odd | tojson }}",
        "{\"b\": 1, \"a\": \"x\"} \"\u00e9\u4e2d\\n'q\\\"\""},
       {"{{ d | tojson(indent=2) }}", "{\n  \"b\": 1,\n  \"a\": \"x\"\n}"},
       {"{{ d | items | list }} {{ d | dictsort }}",
        "[['b', 1], ['a', 'x']] [['a', 'x'], ['b', 1]]"},
       {"{{ 'a-b' | replace('-', '+') }} {{ '7' | int + 1 }} {{ 2.6 | round | int }}", "a+b 8 3"},
       {"{{ 'a\nb' | indent(2) }}|{{ 'x' | capitalize }}|{{ 'hello world' | title }}",
        "a\n  b|X|Hello World"},
       {"{{ [1, 1, 2] | unique | list }} {{ 'abc' | reverse }} {{ [3] | last }}", "[1, 2] cba 3"}});
}

TEST(JinjaTest, Methods) {
  Check({{"{{ ' x '.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'ab'.startswith('a') }}", "x|a|True"},
         {"{{ 'a,b,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a,b,c'.split(',', 1) }}",
          "['a', 'b', 'c'] ['a', 'b'] ['a', 'b,c']"},
         {"{{ 'a</think>b'.split('</think>')[-1].lstrip('\\n') }}", "b"},
         {"{{ 'x'.join(['1', '2']) }} {{ 'abc'.find('c') }} {{ 'aXb'.lower() }}", "1x2 2 axb"},
         {"{{ 'a\\nb'.splitlines() }} {{ 'abc'.replace('b', '') }} {{ '12'.isdigit() }}",
          "['a', 'b'] ac True"},
         {"{{ 'abab'.rfind('b') }} {{ 'abc'.endswith(('x', 'c')) }} {{ 'aba'.count('a') }}",
          "3 True 2"},
         {"{{ '{}-{{}}-{1}{0}'.format(1, 'x') }}", "1-{}-x1"},
         {"{{ none | selectattr('a') | list }}{{ none | map('upper') | list }}", "[][]"}});
}

TEST(JinjaTest, Statements) {
  Check(
      {{"{% if n > 2 %}a{% elif n %}b{% else %}c{% endif %}", "a"},
       {"{% for x in list %}{{ loop.index }}{{ x }}{% if not loop.last %},{% endif %}{% endfor %}",
        "13,21,32"},
       {"{% for x in empty %}{% else %}none{% endfor %}", "none"},
       {"{% for x in list if x > 1 %}{{ loop.length }}{{ x }} {% endfor %}", "23 22 "},
       {"{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "b=1;a=x;"},
       {"{% set x = 1 %}{% for i in list %}{% set x = i %}{% endfor %}{{ x }}", "1"},
       {"{% set ns = namespace(x=0) %}{% for i in list %}{% set ns.x = ns.x + i %}{% endfor %}"
        "{{ ns.x }}",
        "6"},
       {"{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set t %}x{{ n }}{% endset %}{{ t | upper }}",
        "12X3"},
       {"{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}"
        "{% endif %}{{ i }}{% endfor %}",
        "02"},
       {"{% macro m(a, b='y') %}[{{ a }}{{ b }}]{% endmacro %}{{ m('x') }}{{ m(1, b=2) }}",
        "[xy][12]"},
       {"{% raw %}{{ x }}{% endraw %}{# c #}z", "{{ x }}z"},
       {"{% for p in people %}{{ loop.previtem.name if not loop.first }}-{% endfor %}", "-Ann-"}});
}

TEST(JinjaTest, WhiteSpaceIsTakenAsTransformersTakesIt) {
  Check({{"a\n  {% if yes %}\n  b\n  {% endif %}\nc\n", "a\n  b\nc"},
         {"a\n  {{- s }}  \n", "aHello  "},
         {"a  {%- if yes -%}  b  {%- endif %}  c", "ab  c"},
         {"a\n  {%+ if yes %}b{% endif +%}\nc", "a\n  b\nc"},
         {"{# x #}\na\n   {# y #}\nb", "a\nb"},
         {"a {# x -#}  b", "a b"},
         {"x\r\ny\n\n", "x\ny\n"}});
}

TEST(JinjaTest, ErrorsNameTheLine) {
  EXPECT_THAT(Of("a\n{{ 1 + }}"), HasSubstr("line 2"));
  EXPECT_THAT(Of("{{ missing.x }}"), HasSubstr("'missing' is undefined"));
  EXPECT_THAT(Of("\n\n{{ s + 1 }}"), AllOf(HasSubstr("line 3"), HasSubstr("a string")));
  EXPECT_THAT(Of("{{ 1 // 0 }}"), HasSubstr("division by zero"));
  EXPECT_THAT(Of("{{ s | nosuch }}"), HasSubstr("'nosuch'"));
  EXPECT_THAT(Of("{{ s is nosuch }}"), HasSubstr("nosuch"));
  EXPECT_THAT(Of("{{ nosuch() }}"), HasSubstr("no function 'nosuch'"));
  EXPECT_THAT(Of("{% for x in n %}{% endfor %}"), HasSubstr("an integer"));
  EXPECT_THAT(Of("{% extends 'x' %}"), HasSubstr("extends"));
  EXPECT_THAT(Of("{{ raise_exception('no') }}"), HasSubstr("refuses the conversation: no"));
  EXPECT_THAT(Of("{{ list.append(1) }}"), HasSubstr("may not change"));
  EXPECT_THAT(Of("{{ " + std::string(500, '(') + "1" + std::string(500, ')') + " }}"),
              HasSubstr("nested too deeply"));
}

TEST(JinjaTest, HostileTemplatesEnd) {
  EXPECT_THAT(Of("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"),
              HasSubstr("too many steps"));
  EXPECT_THAT(Of("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"),
              HasSubstr("nested too deeply"));
  EXPECT_THAT(Of("{{ 'x' * 999999999 }}"), HasSubstr("too long"));
  EXPECT_THAT(Of("{{ range(999999999) }}"), HasSubstr("range()"));
  EXPECT_THAT(Of("{{ 9223372036854775807 + 1 }}"), HasSubstr("out of range"));
}

TEST(JinjaTest, ValuesAreTreesOfBoundedDepth) {
  EXPECT_THAT(Of("{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}"),
              HasSubstr("a namespace cannot hold a namespace"));
  EXPECT_THAT(Of("{% set ns = namespace() %}{% set ns.a = [{'b': ns}] %}{{ ns }}"),
              HasSubstr("a namespace cannot hold a namespace"));
  EXPECT_THAT(Of("{% set ns = namespace(x=1) %}{% for i in range(100000) %}"
                 "{% set ns.x = [ns.x] %}{% endfor %}"),
              HasSubstr("a value is nested too deeply"));
  std::string conditions = "{{ 1";
  for (int i = 0; i < 100000; ++i) conditions += " if 1";
  EXPECT_THAT(Of(conditions + " }}"), HasSubstr("too long"));
}

TEST(JinjaTest, FiltersCostWhatTheyTake) {
  EXPECT_THAT(Of("{{ range(100000) | unique | length }}"), HasSubstr("too many steps"));
  EXPECT_THAT(Of("{{ ('a\\n' * 1000) | indent('x' * 1000000) }}"), HasSubstr("too long"));
  EXPECT_THAT(Of("{{ range(1000) | map('indent', 'x' * 1000000, true) | list | length }}"),
              HasSubstr("too long"));
}

TEST(JinjaTest, AMacroThatOutlivesItsLoopLeavesNothingBehind) {
  EXPECT_EQ(Of("{% set ns = namespace() %}{% for i in [1] %}{% macro m(x) %}[{{ x }}]{% endmacro %}"
               "{% set ns.m = m %}{% endfor %}{{ ns.m('v') }}{{ x }}{{ ns.m('w') }}"),
            "[v][w]");
}

TEST(JinjaTest, SourcesSurviveWhatIsDoneToText) {
  const auto program = Program::Compile(
      "<{{ s | upper }}>{{ [s] | tojson }}{{ (s ~ '!')[4:] }}{{ s.replace('l', 'L') }}");
  const Rendered rendered = (*program)->Render(Variables()).value();
  EXPECT_EQ(rendered.text.view(), "<HELLO>[\"Hello\"]o!HeLLo");
  std::string sources;
  size_t begin = 0;
  for (const Text::Run& run : rendered.text.runs()) {
    sources.append(run.end - begin, static_cast<char>('0' + run.source));
    begin = run.end;
  }
  EXPECT_EQ(sources,
            "0111110"
            "00111110010"
            "11001");
}

TEST(JinjaTest, GenerationBlocksAreMarked) {
  const auto program = Program::Compile("a{% generation %}{{ s }}{% endgeneration %}b");
  EXPECT_THAT((*program)->Render(Variables())->generations, ElementsAre(std::pair(1, 6)));
}

TEST(DateTextTest, WritesDaysAsPythonDoes) {
  const absl::CivilDay day(2025, 2, 1);
  EXPECT_EQ(DateText("%d %b %Y", day).value(), "01 Feb 2025");
  EXPECT_EQ(DateText("%Y-%m-%d %B %A %H:%M %%", day).value(),
            "2025-02-01 February Saturday 00:00 %");
  EXPECT_TRUE(HasReason(DateText("%Q", day).status(), "TEMPLATE_FAILED"));
  EXPECT_TRUE(HasReason(DateText("%", day).status(), "TEMPLATE_FAILED"));
}

}  // namespace
}  // namespace crossover::llm::jinja
