// JSON piece by piece: puts the commas, quotes the names and texts.
#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <type_traits>

#include "schemas/json_text.hpp"

namespace millrace::cli {

class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) : out_(out) {}

  JsonWriter& open(char bracket) {  // '{' or '['
    separate();
    out_ += bracket;
    first_ = true;
    return *this;
  }
  JsonWriter& close(char bracket) {
    out_ += bracket;
    first_ = false;
    return *this;
  }
  JsonWriter& name(std::string_view name) {
    separate();
    schemas::append_json_string(name, out_);
    out_ += ':';
    first_ = true;
    return *this;
  }
  JsonWriter& value(std::string_view text) {
    separate();
    schemas::append_json_string(text, out_);
    return *this;
  }
  template <class Number>
  requires std::is_arithmetic_v<Number> JsonWriter& value(Number number) {
    separate();
    if constexpr (std::same_as<Number, bool>) {
      out_ += number ? "true" : "false";
    } else {
      out_ += std::to_string(number);
    }
    return *this;
  }
  template <class Value>
  JsonWriter& field(std::string_view name_of_it, const Value& value_of_it) {
    return name(name_of_it).value(value_of_it);
  }

 private:
  void separate() {
    if (!first_) out_ += ',';
    first_ = false;
  }

  std::string& out_;
  bool first_ = true;
};

}  // namespace millrace::cli
