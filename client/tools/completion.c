/*
 * Completion scripts for bash, zsh and fish.
 *
 * They know nothing about cellar: each hands the line up to the cursor to `cellar complete` and
 * offers what that prints (complete.h), so that they fit every later version and know a server's
 * tables. What is special about a shell is in its script:
 *
 *     bash  hands over the line, since it cuts words at ':' and '=' as well; what stands before the
 *           last of these is taken off the candidates again
 *     zsh   hands over the words with their quotes off; `_describe` wants ':' escaped
 *     fish  takes word, tab, description as it is
 *
 * A word that ends with ':' or '=' waits for more: no blank follows it.
 */

#include "client/tools/completion.h"

#include <string.h>

#include "common/base.h"

static const char bash_script[] =
    "# Completion of cellar for bash: source <(cellar completion bash)\n"
    "_cellar() {\n"
    "    local line=${COMP_LINE:0:COMP_POINT} word strip='' breaks='' text help\n"
    "    COMPREPLY=()\n"
    "    word=${line##*[[:space:]]}\n"
    "    [[ $COMP_WORDBREAKS == *=* ]] && breaks+='='\n"
    "    [[ $COMP_WORDBREAKS == *:* ]] && breaks+=':'\n"
    "    if [[ -n $breaks && $word == *[$breaks]* ]]; then\n"
    "        strip=${word%\"${word##*[$breaks]}\"}\n"
    "    fi\n"
    "    while IFS=$'\\t' read -r text help; do\n"
    "        case $text in\n"
    "        @files) compopt -o default ;;\n"
    "        @folders) compopt -o dirnames ;;\n"
    "        *)\n"
    "            [[ $text == *[:=] ]] && compopt -o nospace\n"
    "            COMPREPLY+=(\"${text#\"$strip\"}\")\n"
    "            ;;\n"
    "        esac\n"
    "    done < <(command cellar complete --line \"$line\" 2>/dev/null)\n"
    "}\n"
    "complete -F _cellar cellar\n";

static const char zsh_script[] =
    "#compdef cellar\n"
    "# Completion of cellar for zsh: source <(cellar completion zsh)\n"
    "_cellar() {\n"
    "    local text help\n"
    "    local -a plain waiting\n"
    "    while IFS=$'\\t' read -r text help; do\n"
    "        case $text in\n"
    "        @files) _files; return ;;\n"
    "        @folders) _files -/; return ;;\n"
    "        *[:=]) waiting+=(\"$text\") ;;\n"
    "        *) plain+=(\"${text//:/\\\\:}${help:+:$help}\") ;;\n"
    "        esac\n"
    "    done < <(command cellar complete -- \"${(@Q)words[2,CURRENT]}\" 2>/dev/null)\n"
    "    (( ${#waiting} )) && compadd -S '' -- \"${waiting[@]}\"\n"
    "    (( ${#plain} )) && _describe cellar plain\n"
    "}\n"
    "if [[ ${funcstack[1]} == _cellar ]]; then\n"
    "    _cellar \"$@\"\n"
    "else\n"
    "    compdef _cellar cellar\n"
    "fi\n";

static const char fish_script[] =
    "# Completion of cellar for fish: cellar completion fish | source\n"
    "function __cellar_complete\n"
    "    set -l before (commandline -opc)\n"
    "    set -l current (commandline -ct)\n"
    "    command cellar complete -- $before[2..-1] \"$current\" 2>/dev/null | while read -l line\n"
    "        switch $line\n"
    "            case @files\n"
    "                __fish_complete_path \"$current\"\n"
    "            case @folders\n"
    "                __fish_complete_directories \"$current\"\n"
    "            case '*'\n"
    "                printf '%s\\n' $line\n"
    "        end\n"
    "    end\n"
    "end\n"
    "complete -c cellar -f -a '(__cellar_complete)'\n";

const char *cellar_completion_script(const char *shell)
{
    static const char *const scripts[][2] = {
        {"bash", bash_script}, {"zsh", zsh_script}, {"fish", fish_script}};
    CELLAR_ASSERT(shell != NULL);
    for (size_t index = 0; index < CELLAR_ARRAY_COUNT(scripts); index++) {
        if (strcmp(scripts[index][0], shell) == 0) {
            return scripts[index][1];
        }
    }
    return NULL;
}
