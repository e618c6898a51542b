# pqone.bash: completion of pqone for bash; the settings follow settings.def, the options of check check_options.def.
_pqone() {
    local word=$2 before=$3 index
    local settings='--mode --max-connections --wait-timeout --safe-functions --stack --on-duplicate --linger
        --idle-timeout --max-lifetime --leak-threshold --trace --via --log --log-format --ledger-dir --disable'
    local check='--fail-on --budget --exit-code --suppressions --gen-suppressions --baseline --write-baseline
        --allow-unused'
    local reports='text json junit sarif github html'
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W 'run check report --help --version' -- "$word"))
        return
    fi
    if [ "${COMP_WORDS[1]}" = run ] || [ "${COMP_WORDS[1]}" = check ]; then
        # Behind the options everything belongs to the program.
        for ((index = 2; index < COMP_CWORD; index++)); do
            case ${COMP_WORDS[index]} in
            -- | [!-=]*)
                [ "${COMP_WORDS[index]}" = -- ] && index=$((index + 1))
                case ${COMP_WORDS[index - 1]} in
                =) continue ;; # what an option is set to
                --quiet | --disable | --trace | --gen-suppressions | --allow-unused | --help | --version | run | check | --) ;;
                --*) continue ;;
                esac
                if declare -F _command_offset >/dev/null; then
                    _command_offset "$index"
                elif [ "$index" -eq "$COMP_CWORD" ]; then
                    COMPREPLY=($(compgen -c -- "$word"))
                else
                    COMPREPLY=($(compgen -f -- "$word"))
                fi
                return
                ;;
            esac
        done
    fi
    [ "$before" = = ] && before=${COMP_WORDS[COMP_CWORD - 2]}
    [ "$word" = = ] && word=
    case $before in
    --mode) COMPREPLY=($(compgen -W 'share session observe off' -- "$word")) ;;
    --on-duplicate) COMPREPLY=($(compgen -W 'log ignore fail abort' -- "$word")) ;;
    --log-format) COMPREPLY=($(compgen -W 'text json' -- "$word")) ;;
    --report) COMPREPLY=($(compgen -W "$reports" -- "$word")) ;;
    --fail-on) # words with commas between them
        COMPREPLY=($(compgen -P "${word%"${word##*,}"}" -W 'leak lost held unknown left duplicate misuse budget none' -- "${word##*,}"))
        ;;
    text | json | junit | sarif | github | html) # --report FORMAT=FILE
        COMPREPLY=($(compgen -f -- "$word"))
        ;;
    --suppressions | --baseline | --write-baseline) COMPREPLY=($(compgen -f -- "$word")) ;;
    --log) COMPREPLY=($(compgen -W 'stderr syslog none' -- "$word") $(compgen -f -- "$word")) ;;
    --ledger-dir) COMPREPLY=($(compgen -d -- "$word")) ;;
    --max-connections | --wait-timeout | --safe-functions | --stack | --linger | --idle-timeout | --max-lifetime | --leak-threshold | --via | \
        --budget | --exit-code) ;;
    *)
        case ${COMP_WORDS[1]}$word in
        run-*) COMPREPLY=($(compgen -W "$settings --quiet --report --help --version --" -- "$word")) ;;
        check-*) COMPREPLY=($(compgen -W "$check $settings --quiet --report --help --version --" -- "$word")) ;;
        run* | check*) COMPREPLY=($(compgen -c -- "$word")) ;;
        report-*) COMPREPLY=($(compgen -W '--report --help --version' -- "$word")) ;;
        report*) COMPREPLY=($(compgen -f -- "$word")) ;;
        esac
        ;;
    esac
}
complete -F _pqone pqone
