// Walks a JSON text from left to right without building anything: each member's value is taken or skipped. False means
// that the text is not JSON there, or not of the wanted type; the rest is then of no use.
#pragma once

#include <charconv>
#include <cstdint>
#include <string_view>

namespace millrace::bench {

class JsonScan {
 public:
  explicit JsonScan(std::string_view text) : at_(text.data()), end_(text.data() + text.size()) {}

  // `member(key)` takes the value behind the key and says whether it could.
  template <class Member>
  [[nodiscard]] bool object(Member&& member) {
    if (!take('{')) return false;
    if (take('}')) return true;
    do {
      std::string_view key;
      if (!text(key) || !take(':') || !member(key)) return false;
    } while (take(','));
    return take('}');
  }
  // `element()` takes one and says whether it could.
  template <class Element>
  [[nodiscard]] bool array(Element&& element) {
    if (!take('[')) return false;
    if (take(']')) return true;
    do {
      if (!element()) return false;
    } while (take(','));
    return take(']');
  }
  // What stands between the quotes, escapes as they are.
  [[nodiscard]] bool text(std::string_view& out) {
    if (!take('"')) return false;
    const char* const begin = at_;
    for (; at_ != end_ && *at_ != '"'; ++at_) {
      if (static_cast<unsigned char>(*at_) < 0x20) return false;
      if (*at_ == '\\' && ++at_ == end_) return false;
    }
    if (at_ == end_) return false;
    out = {begin, static_cast<std::size_t>(at_ - begin)};
    ++at_;
    return true;
  }
  [[nodiscard]] bool number(std::uint64_t& out) {
    space();
    const auto [end, error] = std::from_chars(at_, end_, out);
    at_ = end;
    return error == std::errc{};
  }
  // A number as schemas write those of 64 bits: in quotes.
  [[nodiscard]] bool quoted_number(std::uint64_t& out) { return take('"') && number(out) && take('"'); }
  // Any value.
  [[nodiscard]] bool skip() {
    space();
    if (at_ == end_) return false;
    std::string_view ignored;
    switch (*at_) {
      case '{':
        return object([this](std::string_view) { return skip(); });
      case '[':
        return array([this] { return skip(); });
      case '"':
        return text(ignored);
      default:
        return word();
    }
  }
  // Whether nothing follows.
  [[nodiscard]] bool ended() {
    space();
    return at_ == end_;
  }

 private:
  void space() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
  }
  [[nodiscard]] bool take(char wanted) {
    space();
    if (at_ == end_ || *at_ != wanted) return false;
    ++at_;
    return true;
  }
  // true, false, null or a number.
  [[nodiscard]] bool word() {
    const char* const begin = at_;
    while (at_ != end_ && *at_ != ',' && *at_ != '}' && *at_ != ']' && *at_ > ' ') ++at_;
    const std::string_view found(begin, static_cast<std::size_t>(at_ - begin));
    if (found == "true" || found == "false" || found == "null") return true;
    double ignored = 0;
    const auto [end, error] = std::from_chars(begin, at_, ignored);
    return error == std::errc{} && end == at_;
  }

  const char* at_;
  const char* end_;
};

}  // namespace millrace::bench
