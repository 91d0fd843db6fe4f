#include "cli/client/spec_file.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/util/json_util.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <regex>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "cli/client/nearest.h"
#include "cli/output/error.h"
#include "common/status/status_macros.h"

namespace crossover::cli {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using Json = nlohmann::ordered_json;

// Where a value stands, for errors.
struct Place {
  std::string origin;
  std::string path;
  YAML::Mark mark;

  Place Child(const std::string& name, const YAML::Node& node) const {
    return {origin, path.empty() ? name : path + "." + name, node.Mark()};
  }
};

absl::Status Wrong(const Place& place, const std::string& what) {
  const std::string line = place.mark.is_null() ? "" : absl::StrCat(":", place.mark.line + 1);
  const std::string field = place.path.empty() ? "" : place.path + ": ";
  return UsageError(absl::StrCat(place.origin, line, ": ", field, what));
}

// A value without a field to guide it: plain scalars become null, bool or number as YAML says,
// quoted ones stay text.
Json Free(const YAML::Node& node) {
  switch (node.Type()) {
    case YAML::NodeType::Undefined:
    case YAML::NodeType::Null:
      return nullptr;
    case YAML::NodeType::Sequence: {
      Json list = Json::array();
      for (const auto& item : node) list.push_back(Free(item));
      return list;
    }
    case YAML::NodeType::Map: {
      Json map = Json::object();
      for (const auto& entry : node) map[entry.first.as<std::string>()] = Free(entry.second);
      return map;
    }
    case YAML::NodeType::Scalar:
      break;
  }
  const std::string& text = node.Scalar();
  if (node.Tag() == "!") return text;  // quoted
  bool boolean = false;
  if ((text == "true" || text == "false") && YAML::convert<bool>::decode(node, boolean))
    return boolean;
  int64_t whole = 0;
  if (absl::SimpleAtoi(text, &whole)) return whole;
  double number = 0;
  if (absl::SimpleAtod(text, &number) && std::isfinite(number)) return number;
  return text;
}

// "14d" and what absl reads: "1h30m", "600ms"; a bare number is seconds.
std::optional<absl::Duration> ReadDuration(const std::string& text) {
  double number = 0;
  if (absl::SimpleAtod(text, &number)) return absl::Seconds(number);
  if (!text.empty() && text.back() == 'd' &&
      absl::SimpleAtod(text.substr(0, text.size() - 1), &number)) {
    return absl::Hours(24) * number;
  }
  absl::Duration duration;
  if (absl::ParseDuration(text, &duration)) return duration;
  return std::nullopt;
}

std::optional<Json> ReadMoney(const std::string& text) {
  static const std::regex kAmount(R"(\s*(-?[0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]{3})?\s*)");
  std::smatch match;
  double amount = 0;
  if (!std::regex_match(text, match, kAmount) || !absl::SimpleAtod(match[1].str(), &amount))
    return std::nullopt;
  std::string currency = match[2].matched ? match[2].str() : "USD";
  for (char& c : currency) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  const double units = std::trunc(amount);
  Json money;
  money["currency_code"] = currency;
  money["units"] = std::to_string(static_cast<int64_t>(units));
  money["nanos"] = std::llround((amount - units) * 1e9);
  return money;
}

absl::StatusOr<Json> ReadMessage(const YAML::Node& node, const Descriptor& type,
                                 const Place& place);
absl::StatusOr<Json> ReadSingle(const YAML::Node& node, const FieldDescriptor& field,
                                const Place& place);

absl::StatusOr<Json> ReadEnum(const std::string& text, const FieldDescriptor& field,
                              const Place& place) {
  std::string wanted = text;
  for (char& c : wanted)
    c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  std::vector<std::string> known;
  for (int i = 0; i < field.enum_type()->value_count(); ++i) {
    const std::string& name = field.enum_type()->value(i)->name();
    if (name == wanted) return Json(name);
    if (field.enum_type()->value(i)->number() != 0) {
      std::string word = name;
      for (char& c : word)
        c = c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      known.push_back(word);
    }
  }
  std::string list;
  for (const std::string& name : known) list += (list.empty() ? "" : ", ") + name;
  return Wrong(place, absl::StrCat("'", text, "' is none of ", list));
}

absl::StatusOr<Json> ReadWellKnown(const YAML::Node& node, const std::string& type,
                                   const Place& place, bool* handled) {
  *handled = true;
  if (type == "google.protobuf.Struct" || type == "google.protobuf.Value" ||
      type == "google.protobuf.ListValue") {
    return Free(node);
  }
  if (type == "google.protobuf.Duration" && node.IsScalar()) {
    const auto duration = ReadDuration(node.Scalar());
    if (!duration)
      return Wrong(place, absl::StrCat("'", node.Scalar(),
                                       "' is not a duration such as 14d, 1h30m, 2.8s or 600ms"));
    return Json(absl::StrFormat("%.9fs", absl::ToDoubleSeconds(*duration)));
  }
  if (type == "google.protobuf.Timestamp" && node.IsScalar()) {
    absl::Time time;
    std::string error;
    if (!absl::ParseTime("%Y-%m-%d", node.Scalar(), absl::UTCTimeZone(), &time, &error) &&
        !absl::ParseTime(absl::RFC3339_full, node.Scalar(), &time, &error)) {
      return Wrong(place,
                   absl::StrCat("'", node.Scalar(),
                                "' is not a time such as 2026-10-08 or 2026-10-08T12:00:00Z"));
    }
    return Json(absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone()));
  }
  if (type == "google.type.Money" && node.IsScalar()) {
    const auto money = ReadMoney(node.Scalar());
    if (!money)
      return Wrong(place, absl::StrCat("'", node.Scalar(), "' is not an amount such as 0.024 USD"));
    return *money;
  }
  *handled = false;
  return Json();
}

absl::StatusOr<Json> ReadScalar(const YAML::Node& node, const FieldDescriptor& field,
                                const Place& place) {
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
    // A text that holds JSON (a schema, parameters) may be written as YAML.
    if (!node.IsScalar()) return Json(Free(node).dump());
    return Json(node.Scalar());
  }
  if (!node.IsScalar()) return Wrong(place, "one value is expected here, not a list or map");
  const std::string& text = node.Scalar();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_ENUM:
      return ReadEnum(text, field, place);
    case FieldDescriptor::CPPTYPE_BOOL: {
      bool value = false;
      if (!YAML::convert<bool>::decode(node, value))
        return Wrong(place, absl::StrCat("'", text, "' is not true or false"));
      return Json(value);
    }
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT: {
      double value = 0;
      if (!absl::SimpleAtod(text, &value))
        return Wrong(place, absl::StrCat("'", text, "' is not a number"));
      return Json(value);
    }
    default: {
      int64_t value = 0;
      if (!absl::SimpleAtoi(text, &value))
        return Wrong(place, absl::StrCat("'", text, "' is not a whole number"));
      return Json(std::to_string(value));
    }
  }
}

absl::StatusOr<Json> ReadMap(const YAML::Node& node, const FieldDescriptor& field,
                             const Place& place) {
  const FieldDescriptor& value_field = *field.message_type()->FindFieldByNumber(2);
  Json map = Json::object();
  if (node.IsScalar() && value_field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
    map["input"] =
        node.Scalar();  // an example of a prompt with the one variable that is always there
    return map;
  }
  if (!node.IsMap()) return Wrong(place, "a map is expected here");
  for (const auto& entry : node) {
    const std::string key = entry.first.as<std::string>();
    ASSIGN_OR_RETURN(map[key],
                     ReadSingle(entry.second, value_field, place.Child(key, entry.second)));
  }
  return map;
}

absl::StatusOr<Json> ReadSingle(const YAML::Node& node, const FieldDescriptor& field,
                                const Place& place) {
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE)
    return ReadMessage(node, *field.message_type(), place);
  return ReadScalar(node, field, place);
}

absl::StatusOr<Json> ReadField(const YAML::Node& node, const FieldDescriptor& field,
                               const Place& place) {
  if (field.is_map()) return ReadMap(node, field, place);
  if (!field.is_repeated()) return ReadSingle(node, field, place);
  Json list = Json::array();
  if (!node.IsSequence()) {
    ASSIGN_OR_RETURN(Json item, ReadSingle(node, field, place));
    list.push_back(std::move(item));
    return list;
  }
  for (size_t i = 0; i < node.size(); ++i) {
    Place item_place = place;
    item_place.path += absl::StrCat("[", i, "]");
    item_place.mark = node[i].Mark();
    ASSIGN_OR_RETURN(Json item, ReadSingle(node[i], field, item_place));
    list.push_back(std::move(item));
  }
  return list;
}

absl::Status UnknownField(const std::string& key, const Descriptor& type, const Place& place) {
  std::vector<std::string> known;
  for (int i = 0; i < type.field_count(); ++i) known.push_back(type.field(i)->name());
  const std::string nearest = Nearest(key, known);
  std::string list;
  for (const std::string& name : known) list += (list.empty() ? "" : ", ") + name;
  return Wrong(place, absl::StrCat("there is no field of this name in ", type.name(),
                                   nearest.empty() ? "; known are " + list
                                                   : "; did you mean '" + nearest + "'?"));
}

absl::StatusOr<Json> ReadMessage(const YAML::Node& node, const Descriptor& type,
                                 const Place& place) {
  bool handled = false;
  ASSIGN_OR_RETURN(Json known, ReadWellKnown(node, type.full_name(), place, &handled));
  if (handled) return known;
  if (node.IsNull()) return Json::object();
  if (!node.IsMap())
    return Wrong(place,
                 absl::StrCat("a map with the fields of ", type.name(), " is expected here"));
  Json message = Json::object();
  for (const auto& entry : node) {
    const std::string key = entry.first.as<std::string>();
    const Place child = place.Child(key, entry.second);
    const FieldDescriptor* field = type.FindFieldByName(key);
    if (field == nullptr) field = type.FindFieldByCamelcaseName(key);
    if (field == nullptr) return UnknownField(key, type, child);
    if (entry.second.IsNull()) continue;
    ASSIGN_OR_RETURN(message[field->name()], ReadField(entry.second, *field, child));
  }
  return message;
}

// JSON is YAML but for one thing: a character outside the basic plane as two \u escapes, which YAML
// refuses.
std::string WithoutEscapes(std::string_view text) {
  if (text.find("\\u") == std::string_view::npos) return std::string(text);
  const Json json = Json::parse(text, nullptr, false);
  return json.is_discarded() ? std::string(text) : json.dump();
}

// Clears the lists of `to` that `from` sets, so that MergeFrom replaces them instead of appending.
void ClearSetLists(const google::protobuf::Message& from, google::protobuf::Message* to) {
  const google::protobuf::Reflection& reflection = *from.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(from, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->is_repeated()) {
      reflection.ClearField(to, field);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE &&
               reflection.HasField(*to, field)) {
      ClearSetLists(reflection.GetMessage(from, field), reflection.MutableMessage(to, field));
    }
  }
}

absl::Status Merge(const YAML::Node& node, const std::string& origin,
                   google::protobuf::Message* message) {
  ASSIGN_OR_RETURN(const Json json,
                   ReadMessage(node, *message->GetDescriptor(), {origin, "", node.Mark()}));
  std::unique_ptr<google::protobuf::Message> read(message->New());
  const auto status = google::protobuf::util::JsonStringToMessage(json.dump(), read.get());
  if (!status.ok()) return UsageError(absl::StrCat(origin, ": ", std::string(status.message())));
  ClearSetLists(*read, message);
  message->MergeFrom(*read);
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadSpecText(std::string_view text, const std::string& origin,
                          google::protobuf::Message* message) {
  try {
    return Merge(YAML::Load(WithoutEscapes(text)), origin, message);
  } catch (const YAML::Exception& error) {
    return UsageError(absl::StrCat(origin, ":", error.mark.line + 1, ": ", error.msg));
  }
}

absl::Status ReadSpecFile(const std::string& path, google::protobuf::Message* message) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return UsageError(absl::StrCat("cannot read ", path));
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  return ReadSpecText(text, path, message);
}

absl::Status ApplyAssignments(const std::vector<std::string>& assignments,
                              google::protobuf::Message* message) {
  for (const std::string& assignment : assignments) {
    const size_t equals = assignment.find('=');
    if (equals == std::string::npos || equals == 0) {
      return UsageError(absl::StrCat("'", assignment, "' is not FIELD=VALUE"));
    }
    try {
      YAML::Node node = YAML::Load(assignment.substr(equals + 1));
      std::string path = assignment.substr(0, equals);
      while (true) {
        const size_t dot = path.rfind('.');
        YAML::Node parent;
        parent[path.substr(dot == std::string::npos ? 0 : dot + 1)] = node;
        node = parent;
        if (dot == std::string::npos) break;
        path.erase(dot);
      }
      RETURN_IF_ERROR(Merge(node, "--set " + assignment, message));
    } catch (const YAML::Exception& error) {
      return UsageError(absl::StrCat("--set ", assignment, ": ", error.msg));
    }
  }
  return absl::OkStatus();
}

}  // namespace crossover::cli
