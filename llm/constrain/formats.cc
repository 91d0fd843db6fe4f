#include "llm/constrain/formats.h"

#include <string>

namespace crossover::llm::constrain {

namespace {

// RFC 3339, without leap seconds; days that the calendar has, from the year 1000 on.
constexpr char kDate[] =
    "([1-9]\\d{3}-((0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])|(0[469]|11)-(0[1-9]|[12]\\d|30)|"
    "02-(0[1-9]|1\\d|2[0-8]))|"
    "([1-9]\\d(0[48]|[2468][048]|[13579][26])|([2468][048]|[13579][26])00)-02-29)";
constexpr char kTime[] =
    "([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,9})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)";
// RFC 1034 with RFC 1123: labels of letters, digits and inner hyphens. Four labels at most, so that
// the name is never over its 253 characters.
constexpr char kLabel[] = "[A-Za-z0-9]([A-Za-z0-9-]{0,59}[A-Za-z0-9])?";
constexpr char kOctet[] = "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";

std::string Hostname() {
  const std::string label = kLabel;
  return label + "(\\." + label + "){0,3}";
}

std::string Email() {
  const std::string atom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}";
  return atom + "(\\." + atom + "){0,2}@" + Hostname();
}

}  // namespace

std::string_view PatternOfFormat(std::string_view format) {
  static const std::string date = kDate;
  static const std::string time = kTime;
  static const std::string date_time = date + "T" + time;
  static const std::string uuid = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
  static const std::string email = Email();
  static const std::string ipv4 = std::string(kOctet) + "(\\." + kOctet + "){3}";
  static const std::string hostname = Hostname();
  if (format == "date") return date;
  if (format == "time") return time;
  if (format == "date-time") return date_time;
  if (format == "uuid") return uuid;
  if (format == "email") return email;
  if (format == "ipv4") return ipv4;
  if (format == "hostname") return hostname;
  return "";
}

}  // namespace crossover::llm::constrain
